"""What `graft plan` reads for the check, and says if it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.check.abi import check_abi
from graft.formats.store_path import StorePath
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.binary_cache import BinaryCache
from tests.caches import cache_of
from tests.check.abi.programs import Workshop
from tests.cli.lines import CommandLine
from tests.serving import Server, serving
from tests.store_objects import new_store

pytestmark = [pytest.mark.needs("gcc")]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(new_store(tmp_path), tmp_path / "workshop")


@pytest.fixture
def broken(workshop: Workshop) -> list[str]:
    """A program, and a library that lacks what it uses."""
    old = workshop.library("foo-1.0", "int foo(void) { return 1; }")
    new = workshop.library("foo-1.1", "int bar(void) { return 1; }")
    app: StorePath = workshop.program("app", "int foo(void); int main(void) { foo(); }", [old])
    full = workshop.full
    return [full(app), f"--replace={full(old)}={full(new)}"]


@pytest.fixture
def server(workshop: Workshop, tmp_path: Path, broken: list[str]) -> Iterator[Server]:
    with cache_of(workshop.store, tmp_path / "cache"):
        pass
    with serving(tmp_path / "cache") as server:
        yield server


def _warned(graft: CommandLine, *arguments: str) -> list[tuple[str, bool]]:
    warnings = graft.json("plan", *arguments)["warnings"]
    return [(one["kind"], one["path"] is None) for one in warnings]


def _downloads(server: Server) -> list[str]:
    return [path for path, _ in server.requests if path.startswith("/nar/")]


def test_a_plan_from_a_server_downloads_no_nar_and_says_that_nothing_was_checked(
    server: Server, broken: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    graft = CommandLine(capsys, server.url)
    assert _warned(graft, *broken) == [("abi-not-checked", True)]
    assert _downloads(server) == []


def test_a_deep_plan_from_a_server_is_checked(
    server: Server, broken: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    graft = CommandLine(capsys, server.url)
    assert ("abi", False) in _warned(graft, *broken, "--deep")


def test_the_check_reads_no_nar_twice(server: Server, workshop: Workshop) -> None:
    by_name = {path.name: path for path in workshop.store.valid_paths()}
    with BinaryCache.open(server.url) as cache:
        plan = make_plan(
            cache, Graft.of([by_name["app"]], [(by_name["foo-1.0"], by_name["foo-1.1"])])
        )
        assert _downloads(server) == []
        assert len(check_abi(plan, cache).breaks) == 1
    downloads = _downloads(server)
    assert len(set(downloads)) == len(downloads) == 3


def test_a_cache_on_this_machine_is_checked(
    server: Server, broken: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    graft = CommandLine(capsys, f"file://{tmp_path}/cache")
    assert _warned(graft, *broken) == [("abi", False)]
    refused = graft.json(
        "apply", *broken, f"--to=file://{tmp_path}/to", "--no-check-sigs", status=2
    )
    assert refused["error"]["kind"] == "abi"

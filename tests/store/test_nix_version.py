"""The rule for self-references is the rule of the Nix that is to take the paths."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from graft.errors import UsageError
from graft.store.nix_version import NixVersion, check_rule, nix_version, rule_of
from graft.store.writable_cache import WritableCache
from tests.store_objects import new_store


def _environment(directory: Path, text: str, status: int = 0) -> dict[str, str]:
    program = directory / "nix-store"
    program.write_text(f"#!/bin/sh\necho '{text}'\nexit {status}\n")
    program.chmod(0o755)
    return {"PATH": f"{directory}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("text", "rule", "named"),
    [
        ("nix-store (Nix) 2.8.0", "positions", "Nix 2.8.0"),
        ("nix-store (Nix) 2.16.1", "positions", "Nix 2.16.1"),
        ("nix-store (Nix) 2.17.0", "zeroed", "Nix 2.17.0"),
        ("nix-store (Nix) 2.34.8", "zeroed", "Nix 2.34.8"),
        ("nix-store (Nix) 2.35.0pre20260101_abc", "positions", "Nix 2.35.0pre20260101_abc"),
        ("nix-store (Lix, like Nix) 2.91.1", "zeroed", "Lix 2.91.1"),
        ("nix-store (Determinate Nix 3.6.2) 2.29.0", "zeroed", "Determinate Nix 3.6.2 2.29.0"),
    ],
)
def test_each_version_has_its_rule(tmp_path: Path, text: str, rule: str, named: str) -> None:
    version = nix_version(_environment(tmp_path, text))
    assert version is not None
    assert (version.self_references, str(version)) == (rule, named)


def test_a_program_that_tells_no_version_is_no_nix(tmp_path: Path) -> None:
    for number, (text, status) in enumerate([("", 0), ("nix-store (Nix) 2.8.0", 1), ("2.8", 0)]):
        directory = tmp_path / str(number)
        directory.mkdir()
        assert nix_version(_environment(directory, text, status)) is None
    assert nix_version({"PATH": str(tmp_path / "none")}) is None


def test_a_store_on_this_machine_has_the_rule_of_its_nix_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = new_store(tmp_path)
    environment = _environment(tmp_path, "nix-store (Nix) 2.8.0")
    assert rule_of(store, environment) == "positions"
    assert "names that Nix 2.8.0 computes (--self-references positions)" in caplog.text
    assert rule_of(store, {"PATH": str(tmp_path / "none")}) == "zeroed"
    cache = WritableCache.create(f"file://{tmp_path / 'cache'}", store.store_dir)
    assert rule_of(cache, environment) == "zeroed"
    check_rule("zeroed", cache, environment, imported=True)


def test_a_rule_that_the_nix_there_does_not_have_is_an_error_or_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = new_store(tmp_path)
    environment = _environment(tmp_path, "nix-store (Nix) 2.26.3")
    check_rule("zeroed", store, environment, imported=True)
    assert not caplog.text
    check_rule("positions", store, environment, imported=False)
    assert "Nix 2.26.3 on this machine computes other names" in caplog.text
    with pytest.raises(UsageError, match=r"Nix 2\.26\.3 on this machine names paths by the rule"):
        check_rule("positions", store, environment, imported=True)


@pytest.mark.nix
def test_the_real_nix_tells_its_version() -> None:
    said = subprocess.check_output(["nix-store", "--version"], text=True)
    assert nix_version(os.environ) == NixVersion("Nix", said.split()[-1])

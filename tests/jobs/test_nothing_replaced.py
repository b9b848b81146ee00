"""Jobs that replace nothing: no proof, no link, and no success but in a batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graft import apply
from graft.cli import run
from graft.formats.store_path import StorePath
from graft.jobs.outcome import outcome_document
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.cli.lines import CommandLine
from tests.graftable import Graftable
from tests.store_objects import add_object, new_store


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _idle(it: Graftable, tmp_path: Path, *roots: StorePath, **rest: Any) -> dict[str, Any]:
    """The document of a job that is to replace nothing."""
    values: dict[str, Any] = {"pairs": {it.new: it.old}, **rest}
    pairs = values.pop("pairs")
    link = tmp_path / "link"
    before = it.store.valid_paths()
    outcome = apply(it.store, roots, pairs, add_roots=[str(link)], **values)
    assert not outcome.succeeded
    assert outcome.proof is None
    assert not link.is_symlink()
    assert it.store.valid_paths() == before
    document = outcome_document(outcome)
    full = it.store.store_dir.path
    assert document["new_roots"] == {full(root): full(root) for root in roots}
    assert (document["rewritten_paths"], document["paths"], document["graft"]) == (0, {}, None)
    return document


def _message(document: dict[str, Any]) -> str:
    (message,) = (
        one["message"] for one in document["warnings"] if one["kind"] == "nothing-replaced"
    )
    assert isinstance(message, str)
    return message


def test_old_and_new_swapped_replace_nothing(it: Graftable, tmp_path: Path) -> None:
    message = _message(_idle(it, tmp_path, it.env))
    assert message == (
        f"nothing was replaced: '{it.env}' does not lead to '{it.new}' (did you swap OLD and NEW?)"
        "; --deep looks deeper"
    )
    assert "--deep" not in _message(_idle(it, tmp_path, it.env, deep=True))
    message = _message(_idle(it, tmp_path, it.env, it.data))
    assert f"'{it.env}' and 1 other root do not lead to" in message


def test_the_same_path_twice_replaces_nothing(it: Graftable, tmp_path: Path) -> None:
    document = _idle(it, tmp_path, it.env, pairs={it.old: it.old})
    assert _message(document) == f"nothing was replaced: OLD and NEW are the same, '{it.old}'"


def test_below_a_cutoff_nothing_is_replaced(it: Graftable, tmp_path: Path) -> None:
    message = _message(_idle(it, tmp_path, it.env, pairs={it.old: it.new}, cutoffs=[it.app]))
    assert message == f"nothing was replaced: a cutoff keeps all that leads to '{it.old}'"


def test_names_from_contents_are_not_made_for_nothing(it: Graftable, tmp_path: Path) -> None:
    _message(_idle(it, tmp_path, it.env, addressing="content"))
    outcome = apply(it.store, [it.env], {}, addressing="content")
    assert outcome.succeeded  # nothing was to be replaced
    assert outcome.plan.new_roots[it.env] != it.env


def test_one_root_that_leads_to_old_is_enough(it: Graftable, tmp_path: Path) -> None:
    outcome = apply(it.store, [it.env, it.data], {it.old: it.new})
    assert outcome.succeeded
    assert outcome.plan.new_roots[it.data] == it.data


def test_the_command_ends_with_1_and_one_sentence(
    it: Graftable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = CommandLine(capsys, it.store.url)
    profile = tmp_path / "profile"
    it.store.switch_profile(str(profile), it.env)
    swapped = f"--replace={it.new}={it.old}"
    out, err = line("apply", str(profile), swapped, "--profile", str(profile), status=1)
    assert out == ""
    assert "(did you swap OLD and NEW?); --deep looks deeper" in err
    assert "proven" not in err
    assert not (tmp_path / "profile-2-link").is_symlink()
    document = line.json("apply", it.env, swapped, status=1)
    assert document["proof"] is None


def test_an_output_that_was_forgotten_is_named_with_the_verdict(
    it: Graftable, capsys: pytest.CaptureFixture[str]
) -> None:
    full = it.store.store_dir.path
    bin_ = add_object(it.store, "lib-1.0-bin", b"")
    both = add_object(it.store, "both-1", full(it.old).encode(), [it.old, bin_])
    _, err = CommandLine(capsys, it.store.url)("apply", both, f"--replace={it.old}={it.new}")
    assert "left of the package: 1 other output, 'lib-1.0-bin'" in err


def test_in_a_batch_such_a_job_is_untouched_and_delivered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    location = Location.at_root(str(tmp_path / "machine"))
    LocalStore.create(location)
    with LocalStore(location=location) as store:
        it = Graftable.build(store)
    full = location.store_dir.path
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(f"""
store = "{tmp_path}/machine"
to = "file://{tmp_path}/cache"
replacements = {{ "{full(it.old)}" = "{full(it.new)}" }}
[[job]]
name = "hit"
roots = ["{full(it.env)}"]
[[job]]
name = "apart"
roots = ["{full(it.data)}"]
""")
    report, page = tmp_path / "report.xml", tmp_path / "page.md"
    assert run(["batch", str(jobs), f"--junit={report}", f"--summary={page}"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [
        ["hit", "succeeded"],
        ["apart", "untouched"],
    ]
    assert "2 of 2 jobs succeeded" in err
    assert 'failures="0"' in report.read_text()
    assert "| untouched |" in page.read_text()
    assert (tmp_path / "cache" / f"{it.data.hash_part}.narinfo").exists()
    assert run(["batch", str(jobs), "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (document["succeeded"], document["untouched"], document["failed"]) == (2, 1, 0)
    outcome = document["jobs"][1]["outcome"]
    assert outcome["new_roots"] == {full(it.data): full(it.data)}
    assert outcome["proof"] is None

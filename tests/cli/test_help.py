"""Help: by subject, within 80 columns, with a suggestion for mistyped words."""

from __future__ import annotations

import re

import pytest

from graft.cli import COMMANDS, SECTIONS, run


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
def test_help_is_an_answer_with_status_zero(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^([A-Z][a-z ]+):$", out, re.MULTILINE) == ["Options", *SECTIONS]
    for entry in COMMANDS:
        assert re.search(rf"^  {entry.name} +{re.escape(entry.summary)}$", out, re.MULTILINE)
    assert max(map(len, out.splitlines())) <= 80


def test_help_names_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["why"], ["pivot", "list"]):
        assert run(["help", *words]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"Usage: graft {' '.join(words)} [OPTIONS] ")
        assert run([*words, "--help"]) == 0
        assert capsys.readouterr().out == out


def test_version_is_a_word_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    told = capsys.readouterr().out
    assert run(["version"]) == 0
    assert capsys.readouterr().out == told


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["aply"], "did you mean 'apply'"),
        (["help", "stauts"], "did you mean 'status'"),
        (["profile", "lst"], "did you mean 'list'"),
        (["why", "--al"], "--all"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert hint in err
    assert err.count("\n") == 1


def test_the_help_of_apply_has_the_ten_usual_options_and_the_way_to_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def options() -> list[str]:
        return re.findall(r"^  (?:-\w, )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)

    assert run(["apply", "--help"]) == 0
    usual = options()
    assert usual[-2:] == ["--help-all", "--help"]
    assert len(usual) == 10 + 2
    assert {"--replace", "--all-roots", "--add-root", "--activate", "--dry-run"} <= set(usual)
    assert run(["apply", "--help-all"]) == 0
    every = options()
    assert set(usual) < set(every)
    assert {"--json", "--store", "--sign-key", "--only-this-output"} <= set(every)

"""Tables: where no terminal limits them, the text rich would print."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import box
from rich.console import Console
from rich.table import Table

from graft.cli.output import plain_table, print_table, print_warnings
from graft.cli.settings import Settings
from graft.plan import PlanWarning

_TEXTS = st.text("ab 1/…日é-", max_size=12).map(str.strip)
_COLUMNS = ["path", "NAR size", ""]


def _rich(rows: Sequence[Sequence[str]], right: str) -> str:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column == right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    stream = io.StringIO()
    Console(file=stream, width=10_000, highlight=False, markup=False).print(table)
    return stream.getvalue()


@given(st.lists(st.lists(_TEXTS, min_size=3, max_size=3), max_size=4), st.sampled_from(_COLUMNS))
def test_a_plain_table_is_what_rich_prints(rows: list[list[str]], right: str) -> None:
    assert "".join(plain_table(_COLUMNS, rows, right=[right])) == _rich(rows, right)


def test_a_table_goes_where_it_is_to_go(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a"], [["b"]], to_stderr=True)
    assert capsys.readouterr() == ("", "a\n─\nb\n")


class _Terminal(io.StringIO):
    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 60])
def test_a_table_fits_the_terminal_and_breaks_between_words(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = _Terminal(columns)
    monkeypatch.setattr("graft.cli.output.columns_of", lambda _stream: columns)
    monkeypatch.setattr("sys.stdout", stream)
    chain = "user-environment → notes-wrapped-2.3 → … → parse-1.0"
    print_table(
        ["what", "which", "chain"],
        [
            ["current generation", "/var/profiles/system 421", chain],
            ["root", "/home/somebody/result", "parse-1.0"],
        ],
    )
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    text = stream.getvalue()
    for word in [*chain.split(" "), "/var/profiles/system", "421", "generation"]:
        assert word in text, text


def test_a_word_that_is_too_long_is_folded_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = _Terminal(40)
    monkeypatch.setattr("graft.cli.output.columns_of", lambda _stream: 40)
    monkeypatch.setattr("sys.stdout", stream)
    print_table(["a", "b"], [["x" * 50, "1.5 MiB"]], right=["b"])
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert stream.getvalue().count("x") == 50
    assert "1.5 MiB" in stream.getvalue()


def _warning(kind: str, message: str) -> PlanWarning:
    return PlanWarning(kind=kind, path=None, message=message)


def test_warnings_of_a_kind_are_one_line_with_a_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = f"/nix/store/{'0' * 32}-openssl-3.0"
    warnings = [
        _warning("name-alike", f"'{path}' is like"),
        _warning("alias", "one"),
        _warning("name-alike", "second"),
        _warning("name-alike", "third"),
        _warning("long", "first " + "word " * 100 + "remedy"),
    ]
    print_warnings(warnings, Settings())
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "graft: warning: '000000…-openssl-3.0' is like; and 2 more (name-alike)",
        "graft: warning: one (alias)",
    ]
    assert len(lines) == 3
    assert len(lines[2]) <= 160
    assert lines[2].startswith("graft: warning: first word ")
    assert " … word " in lines[2]
    assert lines[2].endswith("remedy (long)")
    print_warnings(warnings, Settings(verbosity=1))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert f"'{path}' is like" in lines[0]
    print_warnings(warnings, Settings(quiet=True))
    assert capsys.readouterr().err == ""

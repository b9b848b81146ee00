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

from graft.cli.output import plain_table, print_table

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

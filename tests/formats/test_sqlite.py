"""The pieces of payloads in a database of SQLite's own making are found again."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from graft.errors import BadFormatError
from graft.formats.sqlite import DatabaseFile


def database(file: Path, page_size: int, *statements: tuple[str, tuple[object, ...]]) -> bytes:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        for statement, values in statements:
            connection.execute(statement, values)
        connection.commit()
    return file.read_bytes()


def payloads(data: bytes) -> list[bytes]:
    return [
        b"".join(data[span.start : span.end] for span in payload.spans)
        for payload in DatabaseFile(data).overflowing()
    ]


@pytest.mark.parametrize("page_size", [512, 1024, 4096, 65536])
def test_every_text_that_is_longer_than_a_page_is_found(tmp_path: Path, page_size: int) -> None:
    texts = [bytes((97 + n,)) * (page_size * n + 7 * n) for n in range(1, 20)]
    data = database(
        tmp_path / "a",
        page_size,
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)", ()),
        ("CREATE INDEX i ON t (body)", ()),
        *(("INSERT INTO t (body) VALUES (?)", (text.decode(),)) for text in texts),
    )
    found = payloads(data)
    for text in texts:
        assert sum(text in payload for payload in found) == 2  # in the table and in the index


def test_a_long_statement_in_the_schema_is_found(tmp_path: Path) -> None:
    comment = "/* " + "c" * 9000 + " */"
    data = database(tmp_path / "a", 1024, (f"CREATE TABLE t (id {comment})", ()))
    assert any(comment.encode() in payload for payload in payloads(data))


def test_a_database_without_overflow_has_none(tmp_path: Path) -> None:
    rows = [("INSERT INTO t VALUES (?)", (f"row {n}",)) for n in range(5000)]
    data = database(tmp_path / "a", 512, ("CREATE TABLE t (body TEXT)", ()), *rows)
    assert payloads(data) == []


def test_pages_in_a_circle_are_an_error(tmp_path: Path) -> None:
    data = bytearray(
        database(
            tmp_path / "a",
            512,
            ("CREATE TABLE t (body TEXT)", ()),
            ("INSERT INTO t VALUES (?)", ("x" * 3000,)),
        )
    )
    [payload] = DatabaseFile(bytes(data)).overflowing()
    at = payload.spans[2].start - 4
    data[at : at + 4] = ((payload.spans[1].start - 4) // 512 + 1).to_bytes(4)
    with pytest.raises(BadFormatError, match="not in this"):
        payloads(bytes(data))


def test_what_is_no_database_is_an_error() -> None:
    with pytest.raises(BadFormatError, match="no SQLite database"):
        DatabaseFile(b"SQLite format 2\0" + bytes(100))
    with pytest.raises(BadFormatError, match="pages of 0 bytes"):
        DatabaseFile(b"SQLite format 3\0" + bytes(100))

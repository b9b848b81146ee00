"""Files that hold the sum of another, and databases that are in an order."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import os
import py_compile
import shutil
import sqlite3
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.fixups import registered, sqlite
from graft.fixups.pyc import siphash
from graft.fixups.rewrite import Members
from graft.formats.sqlite import DatabaseFile
from tests.detached_symbols import with_detached_symbols
from tests.fixups.samples import NEW, OLD, TABLE, grafted, unpacked, zipped

REGISTRY = registered()


def rewritten(files: dict[str, bytes]) -> dict[str, bytes]:
    """A tree's files, each rewritten with the others beside it."""
    named = [(name.encode(), data) for name, data in files.items()]
    members = Members(
        named,
        lambda siblings, path, data: REGISTRY.rewrite(data, path, TABLE, siblings)[0],
    )
    return dict(zip(files, members.all(), strict=True))


@given(st.binary(max_size=70))
def test_sources_are_hashed_as_python_does(source: bytes) -> None:
    key = int.from_bytes(importlib.util.MAGIC_NUMBER, "little")
    assert importlib.util.source_hash(source) == siphash(key, source, 1)


def test_sources_are_hashed_as_older_pythons_did() -> None:
    # The vectors of test_imp.py: up to Python 3.10, and from 3.11 on.
    assert siphash(42, b"hi", 2) == b"\xc6\xe7Z\r\x03:}\xab"
    assert siphash(42, b"hi", 1) == b"\xfb\xd9G\x05\xaf$\x9b~"


def compiled(tmp_path: Path, source: bytes, mode: py_compile.PycInvalidationMode) -> bytes:
    (tmp_path / "module.py").write_bytes(source)
    target = tmp_path / "module.pyc"
    py_compile.compile(
        str(tmp_path / "module.py"), str(target), dfile="module.py", invalidation_mode=mode
    )
    return target.read_bytes()


@pytest.mark.parametrize(
    "mode",
    [
        py_compile.PycInvalidationMode.CHECKED_HASH,
        py_compile.PycInvalidationMode.UNCHECKED_HASH,
    ],
)
def test_a_compiled_file_stays_valid_for_its_source(
    tmp_path: Path, mode: py_compile.PycInvalidationMode
) -> None:
    source = b"where = '/nix/store/" + OLD + b"'\n"
    pyc = compiled(tmp_path, source, mode)
    new = rewritten({"__pycache__/module.cpython-311.pyc": pyc, "module.py": source})
    result = new["__pycache__/module.cpython-311.pyc"]
    assert result[8:16] == importlib.util.source_hash(grafted(source))
    assert result == compiled(tmp_path, grafted(source), mode)


def test_python_takes_the_compiled_file_and_not_the_source(tmp_path: Path) -> None:
    source = b"where = '/nix/store/" + OLD + b"'\n"
    pyc = compiled(tmp_path, source, py_compile.PycInvalidationMode.CHECKED_HASH)
    tag = sys.implementation.cache_tag
    new = rewritten({f"__pycache__/module.{tag}.pyc": pyc, "module.py": source})
    for name, data in new.items():
        (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "new" / name).write_bytes(data)
    result = subprocess.run(
        [sys.executable, "-v", "-c", "import module; print(module.where)"],
        cwd=tmp_path / "new",
        capture_output=True,
        check=True,
    )
    assert NEW in result.stdout
    assert f"module.{tag}.pyc matches".encode() in result.stderr


@pytest.mark.parametrize("number", [62211, 3379], ids=["Python 2.7", "Python 3.6"])
def test_a_compiled_file_of_an_old_python_has_a_time_and_no_hash(number: int) -> None:
    head = number.to_bytes(2, "little") + b"\r\n" + b"\1\0\0\0" + bytes(8)
    made = rewritten({"a.pyc": head + OLD, "a.py": OLD})
    assert made["a.pyc"] == head + NEW


def test_a_compiled_file_that_was_stale_is_left_alone() -> None:
    pyc = importlib.util.MAGIC_NUMBER + b"\3\0\0\0" + bytes(8) + OLD
    assert rewritten({"a.pyc": pyc, "a.py": OLD})["a.pyc"] == pyc


def record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"


def distribution(text: bytes, stale: bytes) -> dict[str, bytes]:
    files = {"pkg/a.py": text, "pkg/b.py": b"nothing", "../../bin/a, b": text}
    lines = [
        record_line("pkg/a.py", text),
        record_line("pkg/b.py", b"nothing"),
        record_line('"../../bin/a, b"', text),
        record_line("pkg/stale.py", b"something else"),
        "pkg/__pycache__/a.cpython-311.pyc,,",
        "pkg-1.dist-info/RECORD,,",
    ]
    tree = {f"lib/site/{name}": data for name, data in files.items() if name[0] != "."}
    tree["bin/a, b"] = text
    tree["lib/site/pkg/stale.py"] = stale
    tree["lib/site/pkg-1.dist-info/RECORD"] = "\n".join([*lines, ""]).encode()
    return tree


def test_a_record_has_the_sums_of_the_new_files() -> None:
    new = rewritten(distribution(b"#!/nix/store/" + OLD, OLD))
    expected = distribution(b"#!/nix/store/" + NEW, NEW)
    assert new == expected
    _, outcomes = REGISTRY.rewrite(b"a,,\n", b"RECORD", TABLE)
    assert outcomes == []


def test_a_wheel_is_whole_again() -> None:
    files = distribution(b"'" + OLD + b"'", b"x")
    names = [(name, data) for name, data in files.items() if name.startswith("lib")]
    new, _ = REGISTRY.rewrite(zipped(names), b"a.whl", TABLE)
    members = dict(unpacked(new))  # type: ignore[call-overload]
    expected = distribution(b"'" + NEW + b"'", b"x")
    record = members["lib/site/pkg-1.dist-info/RECORD"]
    assert record.split(b"\n")[:2] == expected["lib/site/pkg-1.dist-info/RECORD"].split(b"\n")[:2]


@pytest.mark.slow
@pytest.mark.needs("gcc", "objcopy")
def test_a_debuglink_has_the_sum_of_the_new_detached_file(tmp_path: Path) -> None:
    program, debug = with_detached_symbols(f"/nix/store/{OLD.decode()}", tmp_path)
    new = rewritten({"bin/a": program, "lib/debug/bin/tool.debug": debug})
    assert new["lib/debug/bin/tool.debug"] == grafted(debug)
    assert OLD in debug
    old_crc = zlib.crc32(debug).to_bytes(4, "little")
    new_crc = zlib.crc32(new["lib/debug/bin/tool.debug"]).to_bytes(4, "little")
    assert new["bin/a"] == grafted(program).replace(old_crc, new_crc)
    assert new_crc in new["bin/a"]
    if shutil.which("gdb"):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "a").write_bytes(new["bin/a"])
        (tmp_path / "new" / "tool.debug").write_bytes(new["lib/debug/bin/tool.debug"])
        shown = subprocess.run(
            ["gdb", "--batch", tmp_path / "new" / "a"], capture_output=True, check=True
        )
        assert b"CRC mismatch" not in shown.stdout + shown.stderr


def database(tmp_path: Path, *statements: str) -> bytes:
    file = tmp_path / "database"
    file.unlink(missing_ok=True)
    connection = sqlite3.connect(file)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return file.read_bytes()


FILL = (
    "CREATE TABLE t (path TEXT)",
    "CREATE INDEX i ON t (path)",
    f"INSERT INTO t VALUES ('{OLD.decode()}'), ('5'), ('7'), ('a'), ('zzz')",
)


def test_an_index_that_would_be_out_of_order_is_left_alone(tmp_path: Path) -> None:
    data = database(tmp_path, *FILL)
    new, [outcome] = REGISTRY.rewrite(data, b"a.db", TABLE)
    assert new is data
    assert outcome.reason is not None
    assert outcome.reason.startswith("its indexes would be out of order")
    assert REGISTRY.references(data, b"a.db", TABLE)[0]


@pytest.mark.parametrize(
    "statements", [(*FILL[:1], *FILL[2:]), (*FILL[:2], FILL[2].split(", ('5')")[0])]
)
def test_a_database_whose_order_holds_is_rewritten_as_it_stands(
    tmp_path: Path, statements: tuple[str, ...]
) -> None:
    data = database(tmp_path, *statements)
    assert REGISTRY.rewrite(data, b"a.db", TABLE) == (grafted(data), [])
    assert registered(("no-sqlite",)).rewrite(data, b"a.db", TABLE)[0] == grafted(data)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_a_reference_on_the_border_of_overflow_pages_is_rewritten(
    tmp_path: Path, encoding: str
) -> None:
    line = f"see {OLD.decode()}/share, "
    values = ", ".join(f"('{'x' * n}{line * 40}')" for n in range(64))
    data = database(
        tmp_path,
        f"PRAGMA encoding = '{encoding}'",
        "PRAGMA page_size = 512",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)",
        f"INSERT INTO t (body) VALUES {values}",
    )
    codec = encoding.lower()
    assert data.count(OLD.decode().encode(codec)) < 64 * 40
    new, [outcome] = REGISTRY.rewrite(data, b"a.db", TABLE)
    assert (outcome.fixup, outcome.outcome) == ("sqlite", "rewritten")
    (tmp_path / "database").write_bytes(new)
    with contextlib.closing(sqlite3.connect(tmp_path / "database")) as connection:
        texts = [body for (body,) in connection.execute("SELECT body FROM t ORDER BY id")]
    expected = line.replace(OLD.decode(), NEW.decode())
    assert texts == ["x" * n + expected * 40 for n in range(64)]


def test_a_reference_that_only_lies_on_a_border_is_seen(tmp_path: Path) -> None:
    create, text = "CREATE TABLE t (body TEXT)", "y" * 12000
    probe = database(tmp_path, create, f"INSERT INTO t VALUES ('{text}')")
    [payload] = DatabaseFile(probe).overflowing()
    head = payload.spans[0].end - payload.spans[0].start
    body = (text[: head - 20] + OLD.decode() + text)[: len(text)]
    data = database(tmp_path, create, f"INSERT INTO t VALUES ('{body}')")
    assert OLD not in data
    [place], outcomes = REGISTRY.references(data, b"a.db", TABLE)
    assert outcomes == []
    assert place.container == ("sqlite:page 2",)
    new, _ = REGISTRY.rewrite(data, b"a.db", TABLE)
    assert REGISTRY.references(new, b"a.db", TABLE)[0] == []


def test_a_schema_that_asks_for_endless_work_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_FREE_STEPS", 300_000)
    monkeypatch.setattr(sqlite, "_STEPS_A_BYTE", 1)
    rows = ", ".join(f"('{n} {OLD.decode()}')" for n in range(20_000))
    data = database(
        tmp_path,
        f"CREATE TABLE t (path TEXT CHECK ({' AND '.join(['path > 0'] * 400)}))",
        f"INSERT INTO t VALUES {rows}",
    )
    begin = time.monotonic()
    new, [outcome] = REGISTRY.rewrite(data, b"a.db", TABLE)
    assert new is data
    assert outcome.reason == "SQLite cannot read it: interrupted"
    assert time.monotonic() - begin < 20


def test_a_check_that_asks_for_memory_gets_none(tmp_path: Path) -> None:
    data = database(
        tmp_path,
        "CREATE TABLE t (path TEXT CHECK (length(zeroblob(900000000)) > 0))",
        f"INSERT INTO t VALUES ('{OLD.decode()}')",
    )
    new, [outcome] = REGISTRY.rewrite(data, b"a.db", TABLE)
    assert new is data
    assert outcome.reason is not None
    assert outcome.reason.startswith("SQLite cannot read it: ")


def test_a_table_that_is_in_an_order_itself_is_left_alone(tmp_path: Path) -> None:
    table = "CREATE TABLE t (path TEXT PRIMARY KEY) WITHOUT ROWID"
    data = database(tmp_path, table, *FILL[2:])
    new, [outcome] = REGISTRY.rewrite(data, b"a.db", TABLE)
    assert new is data
    assert outcome.outcome == "left-alone"


def test_a_damaged_database_is_left_alone(tmp_path: Path) -> None:
    data = bytearray(database(tmp_path, *FILL))
    at = data.rindex(OLD)
    data[4096 + 3 : 4096 + 5] = b"\xff\xff"
    new, [outcome] = REGISTRY.rewrite(bytes(data), b"a.db", TABLE)
    assert at
    assert new == data
    assert outcome.outcome == "left-alone"


def test_that_a_font_cache_will_not_be_found_is_told() -> None:
    name = b"0123456789abcdef0123456789abcdef-le64.cache-9"
    new, outcomes = REGISTRY.rewrite(b"/nix/store/" + OLD, name, TABLE)
    assert new == b"/nix/store/" + NEW
    assert [outcome.outcome for outcome in outcomes] == ["noted"]
    assert os.path.basename(name) == name

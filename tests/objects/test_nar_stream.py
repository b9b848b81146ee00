"""Streams rewritten as trees are: the same bytes, whatever the way."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import NameCollisionError, NarOrderError
from graft.formats.window import SIZE, Window
from graft.kernel import Table
from graft.kernel.tree import copy_tree
from graft.objects.nar_stream import StreamReport, rewrite_archive, rewrite_stream
from tests.archives import File, Folder, Link, Node, archive_of, nodes, write

A = b"0" * 32 + b"-a-1"
B = b"1" * 32 + b"-b-1"
C = b"2" * 32 + b"-c-1"
PIECES = st.lists(
    st.sampled_from([A, B, A[:32], b"/nix/store/", b"-", b"x", A[:-1], B[1:], b"\xff\n"]),
    max_size=6,
).map(b"".join)


def _rewritten(archive: bytes, table: Table) -> bytes:
    return _report_and_result(archive, table)[1]


def _report_and_result(
    archive: bytes, table: Table, *, most: int = SIZE, size: int = SIZE
) -> tuple[StreamReport, bytes]:
    stream, out = io.BytesIO(archive), io.BytesIO()
    window = Window(lambda buffer: stream.readinto(buffer[:most]), out.write, size)
    report = rewrite_archive(window, table)
    assert report.size == len(archive)
    return report, out.getvalue()


@given(node=nodes(PIECES))
def test_a_nar_is_rewritten_into_the_nar_of_the_rewritten_tree(
    node: Node, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = Table([(A, B), (B, C)])
    directory = os.fsencode(tmp_path_factory.mktemp("tree"))
    source, target = directory + b"/source", directory + b"/target"
    write(source, node)
    archive = archive_of(node)
    dump = bytearray()
    try:
        report = copy_tree(source, target, table, sink=dump.extend)
    except NameCollisionError:
        with pytest.raises(NarOrderError):
            _rewritten(archive, table)
        return
    try:
        stream, result = _report_and_result(archive, table)
    except NarOrderError:
        return  # a tree is sorted again; a stream cannot be
    assert result == bytes(dump)
    assert (stream.references, stream.bare, stream.overlapped) == (
        report.references,
        report.bare,
        report.overlapped,
    )
    assert stream.files.patched == report.files.patched


def test_names_in_another_order_are_refused_in_a_stream() -> None:
    archive = archive_of(Folder({A: Link(b"x"), B: Link(b"x")}))
    for table in (Table([(A, C)]), Table([(A, B)])):
        with pytest.raises(NarOrderError):
            _rewritten(archive, table)
    swapped = _rewritten(archive, Table([(B, C)]))
    assert swapped == archive_of(Folder({A: Link(b"x"), C: Link(b"x")}))


@given(PIECES, st.integers(1, 50))
def test_any_stream_is_rewritten_however_it_comes(data: bytes, most: int) -> None:
    table = Table([(A, B)])
    whole, _, _ = table.rewrite(data)
    stream, out = io.BytesIO(data), io.BytesIO()
    window = Window(lambda buffer: stream.readinto(buffer[:most]), out.write)
    report = rewrite_stream(window, table)
    assert out.getvalue() == whole
    assert report.size == len(data)


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=3), st.integers(1, 9000), st.data())
def test_contents_larger_than_the_window_are_rewritten_as_one_text(
    sizes: list[int], most: int, data: st.DataObject
) -> None:
    table = Table([(A, B)])
    contents = [bytearray(b"/" * size) for size in sizes]
    for text in contents:
        for place in data.draw(st.lists(st.integers(0, len(text)), max_size=6)):
            text[place : place + len(A)] = A
    node = Folder({b"%d" % i: File(bytes(text)) for i, text in enumerate(contents)})
    expected = Folder({b"%d" % i: File(table.rewrite(t)[0]) for i, t in enumerate(contents)})
    report, result = _report_and_result(archive_of(node), table, most=most, size=4608)
    assert result == archive_of(expected)
    hits = [sum(not hit.overlapped for hit in table.find(text)[0]) for text in contents]
    assert report.references == sum(hits)
    assert (report.patched, report.copied) == (len(hits) - hits.count(0), hits.count(0))


def test_what_is_before_the_end_of_a_stream_is_written_before_more_is_read() -> None:
    pieces = [b"/" * 1000, b"/" * 1000, b""]
    out = io.BytesIO()
    written = []

    def readinto(buffer: memoryview) -> int:
        written.append(len(out.getvalue()))
        piece = pieces.pop(0)
        buffer[: len(piece)] = piece
        return len(piece)

    rewrite_stream(Window(readinto, out.write), Table([(A, B)]))
    assert written[0] == 0
    assert 700 < written[1] < 1000
    assert 1700 < written[2] < 2000


@pytest.mark.nix
def test_dump_rewrite_restore_is_what_a_tree_becomes(tmp_path: Path) -> None:
    node = Folder(
        {
            b"bin": Folder({b"run": File(b"#!" + A + b"/sh\n", executable=True)}),
            b"big": File(b"x" * 300_000 + A + b"y" * 300_000),
            b"lib-" + A: Link(b"/nix/store/" + A),
            b"empty": Folder(),
        }
    )
    source = tmp_path / "source"
    write(os.fsencode(source), node)
    command = f"--replace={A.decode()}={B.decode()}"
    graft = f"'{sys.executable}' -m graft"
    pipe = f"nix-store --dump '{source}' | {graft} rewrite {command} | nix-store --restore '{{}}'"
    subprocess.run(
        ["bash", "-eo", "pipefail", "-c", pipe.format(tmp_path / "streamed")], check=True
    )
    copy = [sys.executable, "-m", "graft", "rewrite", command, str(source)]
    copy.append(str(tmp_path / "copied"))
    subprocess.run(copy, check=True)
    dumps = [
        subprocess.run(["nix-store", "--dump", place], capture_output=True, check=True).stdout
        for place in (tmp_path / "streamed", tmp_path / "copied")
    ]
    assert dumps[0] == dumps[1]
    assert B in dumps[0]
    assert A not in dumps[0]

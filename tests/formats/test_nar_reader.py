"""The strict NAR reader: what it accepts it has understood to the last byte."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats import nar
from graft.formats.nar_reader import (
    Contents,
    Directory,
    DirectoryEnd,
    Entry,
    Event,
    Regular,
    Symlink,
    read_archive,
)
from graft.formats.window import SIZE, Window
from tests.archives import File, Folder, Link, Node, archive_of, nodes


def _window(data: bytes, most: int = SIZE, size: int = SIZE) -> Window:
    stream = io.BytesIO(data)
    return Window(lambda buffer: stream.readinto(buffer[:most]), lambda _: None, size)


def _archive_again(events: Iterable[Event]) -> bytes:
    """The archive that events describe, written without the reader's help."""
    pieces = [nar.MAGIC]
    depth, size, left = 0, 0, 0

    def end() -> None:
        if depth:
            pieces.append(nar.ENTRY_TAIL)

    for event in events:
        match event:
            case Regular(executable, size):
                pieces.append(nar.regular_head(size, executable=executable))
                left = size
            case Contents(data, taken, final):
                assert taken == len(data)
                pieces.append(bytes(data))
                left -= taken
                assert final == (not left)
                if final:
                    pieces.append(nar.regular_tail(size))
                    end()
            case Symlink(target):
                pieces.append(nar.symlink_object(bytes(target)))
                end()
            case Directory():
                depth += 1
                pieces.append(nar.DIRECTORY_HEAD)
            case Entry(name):
                pieces.append(nar.entry_head(bytes(name)))
            case DirectoryEnd():
                depth -= 1
                pieces.append(nar.DIRECTORY_TAIL)
                end()
    return b"".join(pieces)


@given(nodes())
def test_every_archive_is_understood_to_the_last_byte(node: Node) -> None:
    data = archive_of(node)
    assert _archive_again(read_archive(_window(data))) == data


@given(nodes(), st.integers(1, 9), st.sampled_from([4608, SIZE]))
def test_it_does_not_matter_how_the_stream_is_cut(node: Node, most: int, size: int) -> None:
    data = archive_of(node)
    assert _archive_again(read_archive(_window(data, most, size))) == data


@given(st.binary(min_size=1, max_size=400), st.integers(1, 50), st.data())
def test_contents_that_were_not_taken_come_again(
    contents: bytes, most: int, data: st.DataObject
) -> None:
    seen = bytearray()
    for event in read_archive(_window(archive_of(File(contents)), most)):
        if isinstance(event, Contents):
            if not event.final:
                event.taken = data.draw(st.integers(0, len(event.data)))
            seen += event.data[: event.taken]
    assert seen == contents


def test_what_is_changed_in_the_window_is_what_goes_on() -> None:
    node = Folder({b"a": File(b"contents"), b"b": Link(b"target"), b"c": Folder()})
    out = io.BytesIO()
    window = Window(io.BytesIO(archive_of(node)).readinto, out.write)
    for event in read_archive(window):
        match event:
            case Contents(text, _, _) | Symlink(text) | Entry(text):
                text[:] = bytes(text).upper()
    window.pass_on()
    assert out.getvalue() == archive_of(
        Folder({b"A": File(b"CONTENTS"), b"B": Link(b"TARGET"), b"C": Folder()})
    )


@given(nodes(), st.data())
def test_a_damaged_archive_is_refused_or_is_another_archive(
    node: Node, data: st.DataObject
) -> None:
    archive = bytearray(archive_of(node))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(archive) - 1))
        change = data.draw(st.sampled_from(["set", "cut", "double", "insert"]))
        other = data.draw(st.integers(place, min(len(archive), place + 80)))
        if change == "set":
            archive[place] = data.draw(st.sampled_from([0, 1, 0x28, 0x29, 0x2F, 0xFF]))
        elif change == "cut" and place:
            del archive[place:other]
        elif change == "double":
            archive[place:place] = archive[place:other]
        else:
            archive[place:place] = data.draw(st.binary(max_size=9))
    try:
        again = _archive_again(read_archive(_window(bytes(archive), size=4608)))
    except BadFormatError as error:
        assert "byte" in error.message  # noqa: PT017 - either outcome is right
    else:
        assert again == archive


@given(nodes(), st.data())
def test_every_beginning_of_an_archive_is_refused(node: Node, data: st.DataObject) -> None:
    archive = archive_of(node)
    cut = data.draw(st.integers(0, len(archive) - 1))
    with pytest.raises(BadFormatError, match=r"too early|before its file does"):
        _archive_again(read_archive(_window(archive[:cut])))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_archive_or_a_typed_error(data: bytes) -> None:
    for given_bytes in (data, nar.MAGIC + data):
        try:
            again = _archive_again(read_archive(_window(given_bytes)))
        except BadFormatError:
            continue
        assert again == given_bytes


def _directory(*names: bytes) -> bytes:
    inner = b"".join(
        nar.entry_head(name) + nar.symlink_object(b"x") + nar.ENTRY_TAIL for name in names
    )
    return nar.MAGIC + nar.DIRECTORY_HEAD + inner + nar.DIRECTORY_TAIL


def _padding_of_one() -> bytes:
    data = bytearray(nar.MAGIC)
    data[-1] = 1
    return bytes(data) + nar.symlink_object(b"x")


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (lambda: _directory(b"b", b"a"), "does not come after"),
        (lambda: _directory(b"a", b"a"), "does not come after"),
        (lambda: _directory(b""), "is no name"),
        (lambda: _directory(b"."), "is no name"),
        (lambda: _directory(b".."), "is no name"),
        (lambda: _directory(b"a/b"), "is no name"),
        (lambda: _directory(b"a\0b"), "is no name"),
        (lambda: _directory(b"n" * 256), "at most 255"),
        (lambda: nar.MAGIC + nar.symlink_object(b""), "no target"),
        (lambda: nar.MAGIC + nar.symlink_object(b"a\0"), "no target"),
        (lambda: nar.MAGIC + nar.symlink_object(b"t" * 4096), "at most 4095"),
        (lambda: nar.MAGIC + nar.symlink_object(b"x") + b"\0", "follows"),
        (lambda: _directory() + _directory(), "follows"),
        (_padding_of_one, "padding"),
        (lambda: nar.MAGIC + nar.regular_head(2**63, executable=False), "before its file"),
        (lambda: nar.MAGIC + (2**64 - 1).to_bytes(8, "little"), "at most 16"),
        (
            lambda: nar.MAGIC + nar.encode_strings(b"(", b"type", b"fifo"),
            "b'fifo' where b'directory' or b'regular' or b'symlink' should stand",
        ),
        (lambda: nar.encode_string(b"nix-archive-2"), "should stand"),
    ],
)
def test_a_trick_is_refused_and_named(archive: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(BadFormatError, match=reason):
        _archive_again(read_archive(_window(archive())))


def test_depth_does_not_need_a_stack() -> None:
    depth = 20_000
    head = nar.DIRECTORY_HEAD + nar.entry_head(b"d")
    tail = nar.ENTRY_TAIL + nar.DIRECTORY_TAIL
    data = nar.MAGIC + head * depth + nar.symlink_object(b"x") + tail * depth
    assert sum(isinstance(event, Directory) for event in read_archive(_window(data))) == depth

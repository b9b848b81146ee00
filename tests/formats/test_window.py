"""A window on a stream: whatever its size and the stream's pieces, nothing is lost or doubled."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.formats.window import Window


def reading(data: bytes, most: int) -> Callable[[memoryview], int]:
    """The `readinto` of a stream that gives `most` bytes at a time."""
    stream = io.BytesIO(data)
    return lambda buffer: stream.readinto(buffer[:most])


@given(st.binary(max_size=300), st.integers(1, 40), st.integers(8, 64), st.data())
def test_what_is_passed_goes_on_and_the_rest_can_be_looked_at(
    data: bytes, most: int, size: int, draw: st.DataObject
) -> None:
    out = io.BytesIO()
    window = Window(reading(data, most), out.write, size)
    while window.position < len(data):
        wanted = draw.draw(st.integers(1, size))
        place = window.position
        held = window.holds(wanted)
        assert held == (place + wanted <= len(data))
        assert window.position == place
        there = window.end - window.at
        assert window.view[window.at : window.end] == data[place : place + there]
        window.at += draw.draw(st.integers(1, there))
    window.pass_on()
    assert out.getvalue() == data
    assert not window.move()


def test_what_is_changed_in_the_window_goes_on_changed() -> None:
    out = io.BytesIO()
    window = Window(io.BytesIO(b"abcdef").readinto, out.write)
    assert window.holds(6)
    window.view[2:4] = b"CD"
    window.at = 3
    window.pass_on()
    assert out.getvalue() == b"abC"
    assert window.position == 3
    window.at = window.end
    window.pass_on()
    assert out.getvalue() == b"abCDef"


def test_a_stream_that_has_ended_is_not_asked_again() -> None:
    answers = iter([3, 0])
    window = Window(lambda _: next(answers), lambda _: None)
    assert not window.holds(4)
    assert not window.holds(4)
    assert window.end == 3


def test_a_full_window_of_which_nothing_is_done_cannot_move() -> None:
    window = Window(io.BytesIO(bytes(20)).readinto, lambda _: None, 8)
    with pytest.raises(ValueError, match="too small"):
        window.holds(9)

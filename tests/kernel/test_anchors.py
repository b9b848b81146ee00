"""Words of eight bytes: both kernels find the same, at every step, and patterns are found once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft import kernel
from graft.kernel.anchors import WORD, Patterns, ReferenceAnchors, make_anchors

_BYTES = st.lists(st.sampled_from(b"ab\0\x80"), max_size=80).map(bytes)
_WORDS = st.lists(st.lists(st.sampled_from(b"ab\0\x80"), min_size=WORD, max_size=WORD).map(bytes))


@given(_WORDS, _BYTES, st.integers(1, 5))
def test_the_kernel_in_use_finds_what_the_specification_finds(
    words: list[bytes], data: bytes, step: int
) -> None:
    joined = b"".join(words)
    found = sorted(make_anchors(words, step).find(data))
    assert found == sorted(ReferenceAnchors(joined, step).find(data))


@pytest.mark.parametrize("step", [1, 3, 8])
def test_every_word_is_found_at_every_place_of_the_step(step: int) -> None:
    words = [b"00000000", b"pattern!", b"00000000", bytes(8)]
    data = bytearray(b"." * 600)
    for place in range(0, 600 - WORD, 24):
        data[place : place + WORD] = words[place // 24 % 4]
    expected = {(place, index) for place in range(0, 600 - WORD, 24) for index in range(4)}
    found = make_anchors(words, step).find(bytes(data))
    assert set(found) == {
        (place, index) for place, index in expected if words[index] == words[place // 24 % 4]
    }
    assert len(found) == len(set(found))


@pytest.mark.parametrize("make", [ReferenceAnchors, kernel.native and kernel.native.Anchors])
def test_words_of_another_length_are_refused(make: type[ReferenceAnchors] | None) -> None:
    if make is None:
        pytest.skip("the native kernel was not built")
    with pytest.raises(ValueError, match="eight bytes"):
        make(b"seven..")
    with pytest.raises(ValueError, match="positive"):
        make(b"", 0)


@given(
    st.lists(st.binary(min_size=11, max_size=30), max_size=6),
    st.lists(st.integers(0, 20) | st.binary(max_size=9), max_size=12),
    st.integers(1, 4),
)
def test_a_pattern_is_found_once_wherever_it_stands(
    patterns: list[bytes], parts: list[int | bytes], step: int
) -> None:
    pieces = [
        patterns[part % len(patterns)]
        if isinstance(part, int) and patterns
        else bytes(3)
        if isinstance(part, int)
        else part
        for part in parts
    ]
    data = b"".join(pieces)
    expected = [
        (at, index)
        for at in range(len(data))
        for index, pattern in enumerate(patterns)
        if data.startswith(pattern, at)
    ]
    assert sorted(Patterns(patterns, step).find(data)) == expected


def test_a_pattern_too_short_for_the_step_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Patterns([b"0123456789"], 4)

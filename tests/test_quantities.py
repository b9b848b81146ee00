from __future__ import annotations

import pytest

from graft.quantities import binary_size, counted, human_seconds


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (63_963_136, "61.0 MiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_bytes_have_one_decimal_from_a_kibibyte_on(size: int, text: str) -> None:
    assert binary_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (0.0001, "< 1 ms"),
        (0.0041, "4 ms"),
        (0.0994, "99 ms"),
        (0.84, "0.84 s"),
        (0.999, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (84, "1 min 24 s"),
        (5040, "1 h 24 min"),
        (3600, "1 h"),
        (200_000, "2 d 7 h"),
        (172_800, "2 d"),
    ],
)
def test_times_have_what_people_can_tell_apart(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


def test_one_thing_is_not_several() -> None:
    assert [counted(number, "path") for number in (0, 1, 1234)] == [
        "0 paths",
        "1 path",
        "1,234 paths",
    ]

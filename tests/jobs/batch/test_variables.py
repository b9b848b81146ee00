"""Variables in jobs files: values in their places, and names again where they may not be shown."""

from __future__ import annotations

import pytest

from graft.jobs.batch.variables import Variables

VALUES = {"LONG": "abcdefgh", "PART": "abcd", "SHORT": "abc", "_N1": "x", "OPEN": "opened"}


@pytest.fixture
def variables() -> Variables:
    found = Variables(VALUES)
    for name in ("LONG", "PART", "SHORT"):
        found.expand(f"${{{name}}}", hide=True)
    found.expand("${OPEN}")
    return found


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("a${LONG}b${_N1}", "aabcdefghbx"),
        ("$${LONG}", "${LONG}"),
        ("$$${LONG}", "$${LONG}"),
        ("$LONG {LONG} $", "$LONG {LONG} $"),
    ],
)
def test_values_stand_in_the_places_of_names(text: str, expanded: str) -> None:
    assert Variables(VALUES).expand(text) == expanded


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${1A}", "begins no name"),
        ("${LONG", "begins no name"),
        ("${}", "begins no name"),
        ("${NONE}", "the environment variable 'NONE' is not set"),
    ],
)
def test_a_name_that_means_nothing_is_an_error(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Variables(VALUES).expand(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1 abcdefgh 2", "1 ${LONG} 2"),
        ("abcdabcdefgh", "${PART}${LONG}"),
        ("abc is no secret", "abc is no secret"),
        ("opened", "opened"),
    ],
)
def test_a_secret_of_four_letters_is_shown_by_its_name(
    text: str, shown: str, variables: Variables
) -> None:
    assert variables.hide(text) == shown
    assert Variables(VALUES).hide(text) == text


def test_secrets_are_hidden_at_any_depth_of_a_value_but_in_keys(variables: Variables) -> None:
    value = {"abcd": ["abcd", ("abcd", 7)], "x": {"y": "abcdefgh"}, "z": None}
    assert variables.hide_in(value) == {
        "abcd": ["${PART}", ["${PART}", 7]],
        "x": {"y": "${LONG}"},
        "z": None,
    }

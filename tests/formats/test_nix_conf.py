"""Nix's configuration files, read as Nix reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.nix_conf import list_setting, parse_nix_conf, switch_setting

_names = st.from_regex(r"[a-z][a-z-]{0,12}", fullmatch=True).filter(lambda name: name != "include")
_words = st.text(
    st.characters(blacklist_characters=" \t\r\n#", blacklist_categories=["Cs"]), min_size=1
)
_blanks = st.text(" \t\r", min_size=1)


def _parse(text: str, **files: str) -> list[tuple[str, str]]:
    included = {f"/conf/{name}": text for name, text in files.items()}
    return parse_nix_conf(text, "/conf/nix.conf", included.get)


@given(st.lists(st.tuples(_names, st.lists(_words))), _blanks, st.booleans())
def test_what_is_written_is_read(
    settings: list[tuple[str, list[str]]], blank: str, comments: bool
) -> None:
    lines = [blank.join([name, "=", *values]) for name, values in settings]
    if comments:
        lines = [part for line in lines for part in (f"{line}#x = y", "# z", blank)]
    assert _parse("\n".join(lines)) == [(name, " ".join(values)) for name, values in settings]


@given(st.text())
def test_any_text_is_a_configuration_or_a_typed_error_that_shows_nothing_of_it(text: str) -> None:
    error: BadFormatError | None = None
    try:
        _parse(text)
    except BadFormatError as raised:
        error = raised
    if error is not None:
        assert error.fields["file"] == "/conf/nix.conf"
        assert error.fields["line"] in range(1, text.count("\n") + 2)


def test_included_files_stand_where_they_are_included() -> None:
    text = "a = 1\ninclude x.conf\n!include none.conf\na = 4\n"
    files = {"x.conf": "a = 2\ninclude ./deeper/../y.conf", "y.conf": "a = 3"}
    assert [value for _, value in _parse(text, **files)] == ["1", "2", "3", "4"]
    assert parse_nix_conf("include /x", "NIX_CONFIG", {"/x": "a = b"}.get) == [("a", "b")]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("secret", "line 1 of '/conf/nix.conf' is no setting"),
        ("a = b\nsecret=x", "line 2"),
        ("secret = x\nsecret b = c", "line 2"),
        ("include secret b", "line 1"),
        ("include = b", "line 1"),
        ("include none.conf", "includes '/conf/none.conf', which is missing"),
        ("include nix.conf", "includes itself"),
    ],
)
def test_anything_else_is_an_error_that_names_the_line(text: str, match: str) -> None:
    with pytest.raises(BadFormatError, match=match) as raised:
        _parse(text, **{"nix.conf": "include nix.conf"})
    assert "secret" not in repr(vars(raised.value))


def test_what_stands_later_goes_first_and_extra_adds() -> None:
    settings = [("extra-k", "a b"), ("k", "c"), ("other", "x"), ("extra-alias", "d"), ("on", "no")]
    assert list_setting(settings, ["k", "alias"], ["z"]) == ["c", "d"]
    assert list_setting(settings[:1], ["k", "alias"], ["z"]) == ["z", "a", "b"]
    assert list_setting([("k", "")], ["k"], ["z"]) == []
    assert not switch_setting(settings, "on", default=True)
    assert switch_setting(settings, "off", default=True)
    with pytest.raises(BadFormatError, match="'k' is neither true nor false"):
        switch_setting(settings, "k", default=True)

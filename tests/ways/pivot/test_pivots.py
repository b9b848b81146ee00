"""Which links a directory of pivots gets, and its record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError, InvalidPathError, PivotError
from graft.formats.store_path import StorePath
from graft.plan.closure import Closure
from graft.ways.pivot.pivots import Pivots, parse_record
from graft.ways.pivot.targets import parse_targets
from tests.store_objects import add_object, new_store
from tests.ways.pivot.closures import Pivotable
from tests.ways.pivot.test_points import marked


@pytest.fixture
def it(tmp_path: Path) -> Pivotable:
    return Pivotable.build(new_store(tmp_path))


def test_every_type_of_every_pivot_point_gets_a_link(it: Pivotable) -> None:
    assert it.pivots().links == {it.curl: ("cacert", "tzdata"), it.clock: ("tzdata",)}


def test_a_type_without_a_target_is_an_error_that_names_it(it: Pivotable) -> None:
    with pytest.raises(PivotError, match=r"type 'cacert', which '.*-curl-8.5.0'") as caught:
        it.pivots({"tzdata": it.full(it.new_tzdata)})
    assert caught.value.fields["types"] == ["cacert"]
    assert "--pivot cacert=TARGET" in caught.value.message


@pytest.mark.parametrize("inside", ["/nothing", "/etc/ssl/certs/nothing"])
def test_a_missing_target_is_an_error_that_names_it(it: Pivotable, inside: str) -> None:
    missing = it.full(it.new_cacert) + inside
    with pytest.raises(PivotError, match="is missing") as caught:
        it.pivots(it.targets | {"cacert": missing})
    assert caught.value.fields == {"type": "cacert", "target": missing}


def test_a_link_that_leads_nowhere_is_a_missing_target(it: Pivotable, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(PivotError, match="is missing"):
        it.pivots(it.targets | {"cacert": str(tmp_path / "link")})


def test_a_target_in_a_path_that_is_not_valid_is_an_error(it: Pivotable) -> None:
    other = f"{it.store.store_dir}/{'0' * 32}-other"
    with pytest.raises(InvalidPathError, match="other"):
        it.pivots(it.targets | {"cacert": other})


def test_a_type_that_nothing_is_of_is_an_error(it: Pivotable, tmp_path: Path) -> None:
    for kind in ("locales", "no-such-type"):
        with pytest.raises(PivotError, match=f"is of type '{kind}'"):
            it.pivots(it.targets | {kind: str(tmp_path)})


def test_an_unmarked_type_gets_links_for_the_candidates(it: Pivotable, tmp_path: Path) -> None:
    contents = {"lib": {"libc.so.6": b"LOCPATH\0"}}
    glibc = add_object(it.store, "glibc-2.39", contents)
    root = add_object(it.store, "root", {}, [it.system, glibc])
    closure = Closure.of(it.store, [root])
    targets = it.targets | {"nss-modules": str(tmp_path), "locales": str(tmp_path)}
    assert Pivots.of(it.store, closure, root, targets).links == {
        it.curl: ("cacert", "tzdata"),
        it.clock: ("tzdata",),
        glibc: ("locales", "nss-modules"),
    }


def test_candidates_get_no_links_of_a_type_that_something_is_marked_with(it: Pivotable) -> None:
    assert not {it.cacert, it.tzdata} & it.pivots().links.keys()


def test_only_the_roots_closure_counts(it: Pivotable) -> None:
    add_object(it.store, "elsewhere", marked("fonts"))
    closure = Closure.of(it.store, [it.system, it.new_tzdata])
    made = Pivots.of(it.store, closure, it.clock, {"tzdata": it.full(it.new_tzdata)})
    assert made.links == {it.clock: ("tzdata",)}


def test_the_record_says_all_there_is_to_say(it: Pivotable) -> None:
    pivots = it.pivots(it.targets | {"cacert": it.full(it.new_cacert) + "/etc"})
    assert parse_record(pivots.record(), "record") == pivots
    document = json.loads(pivots.record())
    assert next(iter(document)) == "version"
    assert document["root"] == it.full(it.system)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "other"},
        {"links": {"../..": ["cacert"]}},
        {"links": {f"{'0' * 32}-curl": ["../cacert"]}},
        {"links": []},
        {"root": "/elsewhere/x"},
        {"pivots": None},
    ],
)
def test_a_record_of_another_form_is_none(it: Pivotable, change: dict[str, Any]) -> None:
    text = json.dumps(json.loads(it.pivots().record()) | change)
    with pytest.raises(BadFormatError, match="'record' is no record"):
        parse_record(text, "record")


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "{", "1", '{"version": 1}'])
def test_another_text_is_no_record(text: str) -> None:
    with pytest.raises(BadFormatError):
        parse_record(text, "record")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["store_dir", "root", "pivots", "links"]), _JSON))
def test_whatever_a_record_holds_it_is_read_or_refused(fields: dict[str, Any]) -> None:
    document = {
        "version": 1,
        "format": "graft-pivots",
        "store_dir": "/nix/store",
        "root": f"/nix/store/{'0' * 32}-root",
        "pivots": {},
        "links": {},
    }
    try:
        pivots = parse_record(json.dumps(document | fields), "record")
    except BadFormatError:
        return
    assert parse_record(pivots.record(), "record") == pivots


def test_a_record_that_is_too_deep_is_none() -> None:
    with pytest.raises(BadFormatError):
        parse_record("[" * 200_000, "record")


def test_targets_are_read_as_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["cacert=/etc/a=b", "tzdata=zones", "cacert=/etc/x/../a=b"]
    assert parse_targets(arguments) == {"cacert": "/etc/a=b", "tzdata": f"{tmp_path}/zones"}


@pytest.mark.parametrize("argument", ["", "cacert", "cacert=", "=x", "a/b=x", "..=x"])
def test_an_argument_of_another_form_is_an_error(argument: str) -> None:
    with pytest.raises(PivotError, match="TYPE=TARGET"):
        parse_targets([argument])


def test_two_targets_of_a_type_are_an_error() -> None:
    with pytest.raises(PivotError, match="two targets"):
        parse_targets(["cacert=/a", "cacert=/b"])


def test_store_paths_are_what_the_links_are_named_by(it: Pivotable) -> None:
    assert all(isinstance(path, StorePath) for path in it.pivots().links)

"""Advisories: OSV documents, and the JSON of vulnix."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.advisory import parse_advisory, patched_vulnerabilities


def _osv(**affected: object) -> str:
    return json.dumps({"id": "CVE-2026-1", "aliases": ["GHSA-1"], "affected": [affected]})


def _ranges(text: str) -> list[str]:
    return [str(one) for entry in parse_advisory(text, "f") for one in entry.ranges]


@pytest.mark.parametrize(
    ("events", "ranges"),
    [
        ([{"introduced": "0"}, {"fixed": "3.0.14"}], ["ssl<3.0.14"]),
        ([{"introduced": "3"}, {"last_affected": "3.1"}], ["ssl>=3,<=3.1"]),
        ([{"introduced": "3"}], ["ssl>=3"]),
        ([{"introduced": "0"}], ["ssl"]),
        ([{"fixed": "3.0.14"}, {"introduced": "0"}], ["ssl<3.0.14"]),
        (
            [{"introduced": "1"}, {"fixed": "1.1"}, {"introduced": "3"}, {"fixed": "3.1"}],
            ["ssl>=1,<1.1", "ssl>=3,<3.1"],
        ),
        ([{"introduced": "0"}, {"fixed": "1:3.0.11-1~deb12u2"}], ["ssl<3.0.11-1~deb12u2"]),
    ],
)
def test_events_are_ranges(events: list[dict[str, str]], ranges: list[str]) -> None:
    text = _osv(package={"name": "ssl"}, ranges=[{"type": "SEMVER", "events": events}])
    assert _ranges(text) == ranges


def test_versions_and_no_versions_and_commits() -> None:
    assert _ranges(_osv(package={"name": "ssl"}, versions=["1.0", "1.1"])) == ["ssl=1.0", "ssl=1.1"]
    assert _ranges(_osv(package={"name": "ssl"})) == ["ssl"]
    (entry,) = parse_advisory(_osv(package={"name": "ssl"}, ranges=[{"type": "GIT"}]), "f")
    assert (entry.ranges, entry.open is not None) == ((), True)
    assert entry.vulnerabilities == ("CVE-2026-1", "GHSA-1")


def test_the_name_of_an_address_is_its_last_part() -> None:
    (entry,) = parse_advisory(_osv(package={"name": "org.apache:log4j-core"}), "f")
    assert entry.name == "log4j-core"
    assert entry.is_named("log4j-core")
    (entry,) = parse_advisory(_osv(package={"name": "Jinja2"}), "f")
    assert entry.is_named("python3.11-jinja2")
    assert not entry.is_named("python3.11-jinja2-time")


def test_a_withdrawn_advisory_and_answers_of_a_server() -> None:
    one = json.loads(_osv(package={"name": "ssl"}))
    assert len(parse_advisory(json.dumps({"vulns": [one, one]}), "f")) == 2
    assert len(parse_advisory(json.dumps([one, {**one, "withdrawn": "2026"}]), "f")) == 1


def test_a_member_of_vulnix_is_a_derivation_with_its_vulnerabilities() -> None:
    member = {
        "name": "ssl-1.0",
        "derivation": "/nix/store/x.drv",
        "affected_by": ["CVE-1-1111", "CVE-1-2222"],
    }
    (entry,) = parse_advisory(json.dumps([member]), "f")
    assert (entry.name, list(map(str, entry.ranges))) == ("ssl", ["ssl=1.0"])
    assert (entry.every, entry.derivation) == (True, "/nix/store/x.drv")


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"id": "CVE-1"}', "[{}]", '{"id": 1}'])
def test_a_text_that_is_no_advisory_is_refused(text: str) -> None:
    with pytest.raises(BadFormatError):
        parse_advisory(text, "f")


_JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "affected", "package", "name", "ranges", "type", "events", "affected_by"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_document_is_read_or_refused(document: object) -> None:
    try:
        parse_advisory(json.dumps(document), "f")
    except BadFormatError:
        return


def test_identifiers_in_the_names_of_patches() -> None:
    patches = ["/nix/store/a-CVE-2024-12345.patch", "/nix/store/b-cve-2024-0001-fix.diff", "x"]
    assert patched_vulnerabilities(patches) == {"CVE-2024-12345", "CVE-2024-0001"}

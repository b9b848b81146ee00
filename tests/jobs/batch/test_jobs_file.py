"""Jobs files: what they mean, and that whatever is wrong in one is one error that says where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.executor import Compression
from graft.jobs.batch.job_table import KEYS
from graft.jobs.batch.jobs_file import JobsFile
from graft.jobs.request import JobRequest, Transfer
from graft.plan.request import Graft

_OLD, _NEW = f"{'0' * 32}-lib-1.0", f"{'1' * 32}-lib-1.1"
_LEAST = f"""
[[job]]
name = "web"
roots = ["{"f" * 32}-web"]
replacements = {{ "{_OLD}" = "{_NEW}" }}
"""


def _no_file(name: str) -> str:
    raise FileNotFoundError(name)


def parse(text: str, environment: Mapping[str, str] | None = None) -> JobsFile:
    return JobsFile.parse(text, "ci/jobs.toml", environment or {}, read=_no_file)


def refused(text: str, environment: Mapping[str, str] | None = None) -> str:
    with pytest.raises(BadFormatError) as caught:
        parse(text, environment)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_the_least_that_can_be_said_is_a_job() -> None:
    [job] = parse(_LEAST).jobs
    assert job.name == "web"
    graft = Graft(roots=(f"{'f' * 32}-web",), replacements=((_OLD, _NEW),))
    assert job.request == JobRequest(graft=graft)
    assert (graft.initrd_cutoff, graft.deep, graft.addressing) == (True, False, "input")
    assert job.request.acceptance.scope == "closure"
    assert job.transfer == Transfer()
    assert job.transfer.check_sigs
    delivery = job.transfer.delivery
    assert (delivery.links, delivery.check_inputs, delivery.repair) == (True, False, False)
    assert delivery.compression == Compression(name="zstd", level=None, threads=1)


def test_what_a_job_says_stands_before_what_the_top_says() -> None:
    first, second = parse(
        f"""
        to = "file:///out"
        compression = "xz"
        level = 9
        prove = "none"
        cutoffs = ["{_OLD}"]
        {_LEAST}
        [[job]]
        name = "db"
        roots = ["{"f" * 32}-db"]
        replacements = {{ "{_OLD}" = "{_NEW}" }}
        to = "file:///other"
        compression = "zstd"
        level = 19
        prove = "rewritten"
        cutoffs = []
        """
    ).jobs
    assert (first.transfer.target, second.transfer.target) == ("file:///out", "file:///other")
    assert first.transfer.delivery.compression == Compression(name="xz", level=9)
    assert second.transfer.delivery.compression == Compression(name="zstd", level=19)
    assert (first.request.acceptance.scope, first.request.graft.cutoffs) == (None, (_OLD,))
    assert (second.request.acceptance.scope, second.request.graft.cutoffs) == ("rewritten", ())


def test_files_are_relative_to_the_jobs_file_and_links_as_well(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "roots").write_text(f"# of today\n{'f' * 32}-web\n\n./result # link\n")
    (tmp_path / "cve.json").write_text(json.dumps({"version": 1, "replacements": {_OLD: "./new"}}))
    (tmp_path / "jobs.toml").write_text(
        """
        replacements-file = "cve.json"
        [[job]]
        name = "web"
        roots = ["./other", "*-web"]
        roots-file = "lists/roots"
        sign-keys = ["key", "/etc/key"]
        add-root = "patched"
        profile = "/nix/var/nix/profiles/web"
        """
    )
    [job] = JobsFile.read(str(tmp_path / "jobs.toml"), {}).jobs
    assert job.request.graft.roots == (
        f"{tmp_path}/./other",
        "*-web",
        f"{'f' * 32}-web",
        f"{tmp_path}/lists/./result",
    )
    assert job.request.graft.replacements == ((_OLD, f"{tmp_path}/./new"),)
    assert job.transfer.key_files == (f"{tmp_path}/key", "/etc/key")
    assert job.request.placement.root_links == (f"{tmp_path}/patched",)
    assert job.request.placement.profile == "/nix/var/nix/profiles/web"


def test_variables_stand_for_values_and_a_doubled_dollar_for_itself() -> None:
    file = parse(
        'to = "https://ci:${PASSWORD}@cache.example.org"\nnote = "$${HOME} is ${WORD}"' + _LEAST,
        {"PASSWORD": "hunter22", "WORD": "home"},
    )
    [job] = file.jobs
    assert job.transfer.target == "https://ci:hunter22@cache.example.org"
    assert job.request.placement.note == "${HOME} is home"
    assert "hunter22" not in repr(job)
    shown = file.variables.hide_in(
        {"kind": "cache", "urls": ["https://ci:hunter22@x is at home"], "size": 1}
    )
    assert shown == {"kind": "cache", "urls": ["https://ci:${PASSWORD}@x is at home"], "size": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'ci/jobs.toml': there is no job"),
        ("job = 3", "there is no job"),
        ("job = [3]", "job 1: it is no table"),
        ("a = [", "it is no TOML: invalid value (at end of document)"),
        ("x\n=1", "at line 1"),
        ("[[job]]\nroots = []", "job 1: it needs a 'name'"),
        ('[[job]]\nname = "a\\nb"', "job 1: it needs a 'name'"),
        (f"rots = 1{_LEAST}", "'ci/jobs.toml': unknown key 'rots'"),
        (f"{_LEAST}rots = 1", "'ci/jobs.toml', job 'web': unknown key 'rots'"),
        (f"name = 'x'{_LEAST}", "'ci/jobs.toml': unknown key 'name'"),
        (f"deep = 1{_LEAST}", "'ci/jobs.toml': 'deep' is neither true nor false"),
        (f"{_LEAST}deep = 1", "job 'web': 'deep' is neither true nor false"),
        (f"{_LEAST}to = 1", "job 'web': 'to' is no text"),
        (f"{_LEAST}cutoffs = 'x'", "job 'web': 'cutoffs' is no list of texts"),
        (f"{_LEAST}cutoffs = ['']", "job 'web': 'cutoffs' holds a text that is empty"),
        (f'{_LEAST}to = "a\\u0000"', "job 'web': 'to' holds a text that is empty or has control"),
        (f"{_LEAST}prove = 'all'", "job 'web': 'prove' is not among closure, rewritten, none"),
        (f"{_LEAST}level = 23", "job 'web': 'level' of zstd is 1 to 22"),
        (f"{_LEAST}level = true", "job 'web': 'level' is no number"),
        (f"{_LEAST}compression = 'none'\nlevel = 1", "compression 'none' has no 'level'"),
        (f"{_LEAST}self-references = 'zeroed'", "'self-references' needs addressing"),
        (f"{_LEAST}trusted-public-keys = ['x']", "'trusted-public-keys' holds a text that is no"),
        (f"{_LEAST}note = '${{NOT_SET}}'", "job 'web': 'note': the environment variable 'NOT_SET'"),
        (f"{_LEAST}note = '${{NOT SET}}'", "begins no name of a variable"),
        (f"{_LEAST}note = '${{NOT_SET'", "begins no name of a variable"),
        (_LEAST + _LEAST, "job 'web': another job has this name"),
        (f'[[job]]\nname = "web"\nroots = ["{_NEW}"]', "job 'web': there is nothing to replace"),
        ('[[job]]\nname = "web"\nroots = []', "job 'web': there are no roots"),
        (f"{_LEAST}[job.replacements]", "it is no TOML: cannot declare"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, said: str) -> None:
    assert said in refused(text)


def test_no_value_of_a_variable_is_in_an_error() -> None:
    key = "trusted-public-keys"
    said = refused(f"{_LEAST}{key} = ['${{TOKEN}}']", {"TOKEN": "hunter22\n"})
    assert "hunter22" not in said


_VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-5, 30),
        st.floats(),
        st.text(max_size=8).map(json.dumps),
        st.sampled_from(["'content'", "'zeroed'", "'xz'", "'${A}'", "'file:///x'", "1979-05-27"]),
    ).map(lambda value: value if isinstance(value, str) else str(value).lower()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]"),
        st.lists(inner, max_size=2).map(
            lambda values: f"{{{', '.join(f'k{n} = {value}' for n, value in enumerate(values))}}}"
        ),
    ),
    max_leaves=4,
)
_LINES = st.tuples(st.sampled_from(sorted(KEYS | {"job", "rots"})), _VALUES).map(" = ".join)


@given(st.lists(_LINES, max_size=4), st.lists(_LINES, max_size=4))
def test_any_values_make_jobs_or_one_error(top: list[str], own: list[str]) -> None:
    text = "\n".join([*top, _LEAST, *own])
    error = None
    try:
        JobsFile.parse(text, "jobs.toml", {"A": "b"}, read=lambda _name: f"{_OLD} {_NEW}")
    except BadFormatError as caught:
        error = caught.message
    assert error is None or (error.startswith("'") and "\n" not in error)


@given(st.text() | st.text("[]job=\"'{}#\n\r\t.-_ 0129tfae", max_size=60))
def test_any_text_makes_jobs_or_one_error(text: str) -> None:
    with pytest.raises(BadFormatError) as caught:
        parse(text)
    assert "\n" not in caught.value.message


def test_a_file_that_is_no_text_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadFormatError, match="no text in UTF-8"):
        JobsFile.read(str(tmp_path / "jobs.toml"), {})

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


_JOB = f'[[job]]\nname = "web"\nroots = ["{"f" * 32}-web"]\n'


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
        (f"rots = 1{_LEAST}", "'ci/jobs.toml': unknown key 'rots'; did you mean 'roots'?"),
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
        (f"{_JOB}replacements = 3", "job 'web': 'replacements' is no table of paths"),
        (f"{_JOB}replacements = ['x']", "job 'web': 'replacements' is no table of paths"),
        (f"{_JOB}replacements = {{ a = 1 }}", "job 'web': 'replacements' is no table of paths"),
        (f"{_LEAST}to = ''", "job 'web': 'to' holds a text that is empty"),
        (f"{_LEAST}level = 0", "job 'web': 'level' of zstd is 1 to 22"),
        (f"{_LEAST}strict = true\nprove = 'rewritten'", "job 'web': 'strict' needs prove"),
        ("[[job]]\nname = ' '", "job 1: it needs a 'name'"),
        ("[[job]]\nname = 7", "job 1: it needs a 'name'"),
        (f"{_LEAST}[[job]]\nx = 1", "job 2: it needs a 'name'"),
        (_LEAST + _LEAST, "job 'web': another job has this name"),
        (f'[[job]]\nname = "web"\nroots = ["{_NEW}"]', "job 'web': there is nothing to replace"),
        ('[[job]]\nname = "web"\nroots = []', "job 'web': there are no roots"),
        (f"{_LEAST}[job.replacements]", "it is no TOML: cannot declare"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, said: str) -> None:
    assert said in refused(text)


def test_values_of_urls_and_of_names_of_keys_may_not_be_shown_and_others_may() -> None:
    hidden = {
        "store": "'${A1}'",
        "from": "'${A2}'",
        "to": "'${A3}'",
        "sign-keys": "['${A4}']",
    }
    lines = "".join(f"{key} = {value}\n" for key, value in hidden.items())
    own = """
        note = '${B1}'
        profile = '${B2}'
        add-root = '${B3}'
        allow-residual = ['${B4}']
        """
    environment = {f"{letter}{n}": f"value-{letter}{n}" for letter in "AB" for n in range(1, 5)}
    file = parse(lines + _LEAST + own, environment)
    text = " ".join(environment.values())
    assert (
        file.variables.hide(text) == "${A1} ${A2} ${A3} ${A4} value-B1 value-B2 value-B3 value-B4"
    )
    more = parse(f"from = ['${{A1}}', 'x']\n{_LEAST}", environment)
    assert more.jobs[0].transfer.sources == ("value-A1", "x")
    assert more.variables.hide(text).startswith("${A1} value-A2 ")


def test_each_switch_is_turned_by_its_own_key() -> None:
    def switches(text: str) -> list[bool]:
        [job] = parse(f"{_LEAST}{text}").jobs
        graft, acceptance, delivery = (
            job.request.graft,
            job.request.acceptance,
            job.transfer.delivery,
        )
        return [
            *(graft.initrd_cutoff, graft.deep, acceptance.strict, acceptance.abi_breaks),
            *(acceptance.missing_files, job.transfer.check_sigs, delivery.links),
            *(delivery.check_inputs, delivery.repair),
        ]

    keys = [
        *("initrd-cutoff", "deep", "strict", "allow-abi-breaks", "allow-missing-files"),
        *("check-sigs", "hard-links", "check-inputs", "repair"),
    ]
    usual = switches("")
    for at, key in enumerate(keys):
        for value in (True, False):
            expected = [*usual[:at], value, *usual[at + 1 :]]
            assert switches(f"{key} = {str(value).lower()}") == expected


def test_a_note_may_have_lines_and_other_texts_may_not() -> None:
    [job] = parse(f'{_LEAST}note = "one\\ntwo"').jobs
    assert job.request.placement.note == "one\ntwo"
    assert "holds a text that is empty or has control" in refused(f'{_LEAST}to = "a\\nb"')


@pytest.mark.parametrize("line", ["a\tb", "a\x7fb"])
def test_a_list_of_paths_has_no_control_characters(line: str) -> None:
    text = f'{_LEAST}roots-file = "list"'
    with pytest.raises(BadFormatError, match="'ci/list': a path is empty or has control"):
        JobsFile.parse(text, "ci/jobs.toml", {}, read=lambda _name: f"{line}\n")


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

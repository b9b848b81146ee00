"""What abidiff says, asked through the real program."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.errors import AbiError, AbiReportError
from graft.jobs.apply import apply
from tests.check.abi.programs import Workshop
from tests.store_objects import new_store

pytestmark = [pytest.mark.needs("gcc"), pytest.mark.slow]

_MAIN = "int foo(void); int main(void) { return foo(); }"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(new_store(tmp_path), tmp_path / "workshop")


@pytest.mark.needs("abidiff")
@pytest.mark.parametrize("into_directory", [False, True])
def test_the_report_holds_what_abidiff_says_even_of_what_is_refused(
    workshop: Workshop, tmp_path: Path, into_directory: bool
) -> None:
    old = workshop.library("foo-1.0", "int foo(void) { return 1; } int bar(void) { return 2; }")
    new = workshop.library("foo-1.1", "int bar(void) { return 2; }")
    app = workshop.program("app", _MAIN, [old])
    report = tmp_path / "report"
    if into_directory:
        report.mkdir()
    with pytest.raises(AbiError):
        apply(workshop.store, [app], {old: new}, abi_report=str(report))
    text = (report / "001-libfoo.so.1.txt" if into_directory else report).read_text()
    assert text.startswith(
        f"{workshop.full(old)}/lib/libfoo.so.1\n{workshop.full(new)}/lib/libfoo.so.1\nincompatible"
    )
    assert "foo" in text.partition("incompatible")[2]


def test_without_abidiff_a_report_is_an_error_before_anything_is_done(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (workshop.library(f"foo-1.{n}", "int foo(void) { return 1; }") for n in range(2))
    app = workshop.program("app", _MAIN, [old])
    before = workshop.store.valid_paths()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AbiReportError, match="abigail-tools"):
        apply(workshop.store, [app], {old: new}, abi_report=str(tmp_path / "report"))
    assert workshop.store.valid_paths() == before


@pytest.mark.needs("abidiff")
def test_a_report_that_cannot_be_written_is_an_error(workshop: Workshop, tmp_path: Path) -> None:
    old, new = (workshop.library(f"foo-1.{n}", "int foo(void) { return 1; }") for n in range(2))
    app = workshop.program("app", _MAIN, [old])
    with pytest.raises(AbiReportError, match="cannot be written: No such file"):
        apply(workshop.store, [app], {old: new}, abi_report=str(tmp_path / "no" / "report"))

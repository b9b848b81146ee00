"""The report of libabigail's abidiff on the libraries that change."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from graft.check.abi.breaks import AbiCheck, shown_place
from graft.check.abi.views import ObjectEntry
from graft.errors import AbiReportError
from graft.objects.reading import as_tree
from graft.store.api import Source

_PROGRAM: Final = "abidiff"
# Bits of its exit status: doc/manuals/abidiff.rst of libabigail.
_FAILED: Final = 1
_CHANGED: Final = 4
_INCOMPATIBLE: Final = 8


def check_reporting() -> None:
    """Raises AbiReportError unless abidiff is there."""
    if shutil.which(_PROGRAM) is None:
        raise AbiReportError(
            f"the program '{_PROGRAM}' is not installed: install abigail-tools (libabigail), or "
            "leave out --abi-report",
            program=_PROGRAM,
        )


def write_report(check: AbiCheck, source: Source, file: str) -> None:
    """Compares each library that changes with its replacement, and writes the report.

    Args:
        source: where both are.
        file: the file to be written; or an existing directory, which gets a file for each library.

    Raises:
        AbiReportError: abidiff is not there, or the file cannot be written.
    """
    check_reporting()
    texts = list(_reports(check, source))
    try:
        if os.path.isdir(file):
            for number, (was, text) in enumerate(texts, 1):
                name = os.fsdecode(os.path.basename(was.name) or was.path.encode())
                _write(os.path.join(file, f"{number:03}-{name}.txt"), text)
        else:
            _write(file, "\n".join(text for _, text in texts) or "no library changes\n")
    except OSError as error:
        raise AbiReportError(
            f"the report '{file}' cannot be written: {error.strerror}", file=file
        ) from error


def _reports(check: AbiCheck, source: Source) -> Iterator[tuple[ObjectEntry, str]]:
    full = check.store_dir.path
    for was, now in check.libraries:
        with ExitStack() as stack:
            files = [
                os.path.join(
                    stack.enter_context(as_tree(source.store_object(place.path))).tree,
                    os.fsdecode(place.name),
                )
                for place in (was, now)
            ]
            result = subprocess.run(
                [_PROGRAM, *files],
                capture_output=True,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        status = result.returncode
        verdict = (
            "abidiff failed"
            if status & _FAILED or status < 0
            else "incompatible"
            if status & _INCOMPATIBLE
            else "changed"
            if status & _CHANGED
            else "no change"
        )
        said = (result.stdout + result.stderr).decode("utf-8", "backslashreplace")
        yield was, f"{shown_place(was, full)}\n{shown_place(now, full)}\n{verdict}\n\n{said}"


def _write(file: str, text: str) -> None:
    with open(file, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(text)

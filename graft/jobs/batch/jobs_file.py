"""The jobs file: TOML, defaults at the top, a table `[[job]]` for each job.

The form is in docs/reference/formats.md. It is read strictly: a key that is not known, or a value
of another type, is an error before anything is done.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from graft.jobs.batch.job_table import CONTROL, KEYS, JobTable, format_error
from graft.jobs.batch.variables import Variables
from graft.jobs.request import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsFile:
    """A jobs file, read and understood.

    Attributes:
        name: the file's name.
        jobs: in their order.
        variables: knows which values may not be shown.
    """

    name: str
    jobs: tuple[Job, ...]
    variables: Variables

    @classmethod
    def read(cls, file: str, environment: Mapping[str, str]) -> Self:
        """Reads a jobs file, and the files of roots and replacements it names.

        Raises:
            BadFormatError: one of them has not its form.
            OSError: one of them cannot be read.
        """
        return cls.parse(_read(file), file, environment, read=_read)

    @classmethod
    def parse(
        cls, text: str, name: str, environment: Mapping[str, str], *, read: Callable[[str], str]
    ) -> Self:
        """Reads the text of a jobs file.

        Args:
            name: the file's name: relative names in it are relative to its directory.
            environment: for `${NAME}`.
            read: gives the text of another file.

        Raises:
            BadFormatError: it does not have the form. Also all errors of `read`.
        """
        variables = Variables(environment)
        read = functools.cache(read)
        defaults = _document(text, name)
        tables = defaults.pop("job", None)
        if not isinstance(tables, list) or not tables:
            raise format_error(name, None, "there is no job: begin each with a line '[[job]]'")
        _check_keys(defaults, KEYS, name, None)
        jobs = []
        for number, table in enumerate(tables, 1):
            if not isinstance(table, dict):
                raise format_error(name, f"job {number}", "it is no table: begin it with '[[job]]'")
            title = _title(table, name, number)
            _check_keys(table, KEYS | {"name"}, name, f"job '{title}'")
            jobs.append(JobTable(defaults, table, name, title, variables, read).job())
        names = [job.name for job in jobs]
        if twice := sorted({title for title in names if names.count(title) > 1}):
            raise format_error(name, f"job '{twice[0]}'", "another job has this name")
        return cls(name=name, jobs=tuple(jobs), variables=variables)


def _check_keys(
    table: Mapping[str, Any], known: Collection[str], file: str, place: str | None
) -> None:
    if unknown := sorted(table.keys() - known):
        key = CONTROL.sub("?", unknown[0])
        near = difflib.get_close_matches(key, known, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise format_error(file, place, f"unknown key '{key}'{hint}")


def _title(table: Mapping[str, Any], file: str, number: int) -> str:
    title = table.get("name")
    if not isinstance(title, str) or not title.strip() or CONTROL.search(title):
        raise format_error(file, f"job {number}", "it needs a 'name', a short text on one line")
    return title


def _document(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = CONTROL.sub("?", str(error))
        raise format_error(name, None, f"it is no TOML: {reason[:1].lower()}{reason[1:]}") from None


def _read(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as stream:
            return stream.read()
    except UnicodeDecodeError:
        raise format_error(file, None, "it is no text in UTF-8") from None

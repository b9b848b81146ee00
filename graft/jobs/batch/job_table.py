"""One job's values in a jobs file, its own or those at the top, asked for by key and type."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from graft.check.acceptance import Acceptance
from graft.errors import BadFormatError
from graft.executor import Compression, Delivery
from graft.formats.compression_levels import LEVELS
from graft.formats.hash_modulo import SELF_REFERENCES
from graft.formats.replacements_file import parse_replacements
from graft.formats.signature import PublicKey
from graft.jobs.batch.variables import Variables
from graft.jobs.request import Job, JobRequest, Transfer
from graft.machine.places import Placement
from graft.plan import ADDRESSINGS
from graft.plan.request import Graft

KEYS: Final = frozenset(
    {
        "roots",
        "roots-file",
        "replacements",
        "replacements-file",
        "cutoffs",
        "initrd-cutoff",
        "fixups",
        "deep",
        "store",
        "from",
        "to",
        "addressing",
        "self-references",
        "compression",
        "level",
        "sign-keys",
        "trusted-public-keys",
        "check-sigs",
        "check-inputs",
        "repair",
        "hard-links",
        "prove",
        "allow-residual",
        "strict",
        "allow-abi-breaks",
        "allow-missing-files",
        "add-root",
        "profile",
        "note",
    }
)
"""The keys of a job, and at the top of the file for all jobs."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that no name, path or URL of a job has."""


class JobTable:
    """The values of one job.

    Args:
        defaults: the keys at the top.
        own: the job's.
        file: the jobs file.
        title: the job's name.
        variables: for `${NAME}`.
        read: gives the text of another file.
    """

    def __init__(
        self,
        defaults: Mapping[str, Any],
        own: Mapping[str, Any],
        file: str,
        title: str,
        variables: Variables,
        read: Callable[[str], str],
    ) -> None:
        self._own = own
        self._values = {**defaults, **own}
        self._file = file
        self._title = title
        self._variables = variables
        self._read = read

    def job(self) -> Job:
        """The job they make.

        Raises:
            BadFormatError: a value has the wrong type, or means nothing; the key is named, and the
                job, and no value.
        """
        roots = (*self._paths("roots"), *self._listed_roots())
        if not roots:
            raise self._error("roots", "there are no roots: give 'roots' or 'roots-file'")
        graft = Graft(
            roots=roots,
            replacements=(*self._pairs(), *self._listed_pairs()),
            cutoffs=self._paths("cutoffs"),
            initrd_cutoff=self._flag("initrd-cutoff", default=True),
            deep=self._flag("deep", default=False),
            addressing=self._choice("addressing", ADDRESSINGS) or ADDRESSINGS[0],
            self_references=self._choice("self-references", SELF_REFERENCES) or "auto",
            fixups=self._texts("fixups"),
        )
        if graft.addressing == "input":
            if self._text("self-references") is not None:
                raise self._error(
                    "self-references", "'self-references' needs addressing = \"content\""
                )
            if not graft.replacements:
                raise self._error(
                    "replacements",
                    "there is nothing to replace: give 'replacements' or 'replacements-file'",
                )
        scope: Any = self._choice("prove", ("closure", "rewritten", "none")) or "closure"
        strict = self._flag("strict", default=False)
        if strict and scope != "closure":
            raise self._error("strict", "'strict' needs prove = \"closure\"")
        return Job(
            name=self._title,
            request=JobRequest(
                graft=graft,
                acceptance=Acceptance(
                    scope=None if scope == "none" else scope,
                    allowed=self._texts("allow-residual"),
                    strict=strict,
                    abi_breaks=self._flag("allow-abi-breaks", default=False),
                    missing_files=self._flag("allow-missing-files", default=False),
                ),
                placement=Placement(
                    root_links=self._links(),
                    profile=self._file_name("profile"),
                    note=self._text("note", lines=True),
                ),
            ),
            transfer=self._transfer(),
        )

    def _transfer(self) -> Transfer:
        compression = self._choice("compression", tuple(LEVELS)) or "zstd"
        return Transfer(
            store=self._text("store", hide=True),
            sources=self._one_or_more("from", hide=True),
            target=self._text("to", hide=True),
            key_files=tuple(map(self._near, self._texts("sign-keys", hide=True))),
            trusted_public_keys=self._keys(),
            check_sigs=self._flag("check-sigs", default=True),
            delivery=Delivery(
                links=self._flag("hard-links", default=True),
                check_inputs=self._flag("check-inputs", default=False),
                repair=self._flag("repair", default=False),
                compression=Compression(name=compression, level=self._level(compression)),
            ),
        )

    def _level(self, compression: str) -> int | None:
        level = self._values.get("level")
        if level is None:
            return None
        if not isinstance(level, int) or isinstance(level, bool):
            raise self._error("level", "'level' is no number")
        levels = LEVELS[compression]
        if not levels:
            raise self._error("level", f"compression '{compression}' has no 'level'")
        if level not in levels:
            raise self._error("level", f"'level' of {compression} is {levels[0]} to {levels[-1]}")
        return level

    def _keys(self) -> tuple[str, ...]:
        keys = self._texts("trusted-public-keys")
        for key in keys:
            try:
                PublicKey.parse(key)
            except BadFormatError:
                raise self._error(
                    "trusted-public-keys",
                    "'trusted-public-keys' holds a text that is no public key, NAME:BASE64",
                ) from None
        return keys

    def _links(self) -> tuple[str, ...]:
        return tuple(map(self._near, self._one_or_more("add-root")))

    def _file_name(self, key: str) -> str | None:
        file = self._text(key)
        return None if file is None else self._near(file)

    def _listed_roots(self) -> tuple[str, ...]:
        file = self._file_name("roots-file")
        if file is None:
            return ()
        lines = (line.split("#", 1)[0].strip() for line in self._read(file).splitlines())
        return tuple(self._listed(line, file) for line in lines if line)

    def _listed_pairs(self) -> tuple[tuple[str, str], ...]:
        file = self._file_name("replacements-file")
        if file is None:
            return ()
        return tuple(
            (self._listed(old, file), self._listed(new, file))
            for old, new in parse_replacements(self._read(file), file)
        )

    def _listed(self, text: str, file: str) -> str:
        if not text or CONTROL.search(text):
            raise format_error(file, None, "a path is empty or has control characters")
        return _argument(text, os.path.dirname(file))

    def _pairs(self) -> tuple[tuple[str, str], ...]:
        table = self._values.get("replacements", {})
        if not isinstance(table, dict) or not all(isinstance(new, str) for new in table.values()):
            raise self._error("replacements", "'replacements' is no table of paths, OLD = NEW")
        return tuple(
            (
                self._argument(self._expand("replacements", old)),
                self._argument(self._expand("replacements", new)),
            )
            for old, new in table.items()
        )

    def _paths(self, key: str) -> tuple[str, ...]:
        return tuple(map(self._argument, self._texts(key)))

    def _argument(self, text: str) -> str:
        return _argument(text, os.path.dirname(self._file))

    def _near(self, file: str) -> str:
        return os.path.join(os.path.dirname(self._file), file)

    def _texts(self, key: str, *, hide: bool = False) -> tuple[str, ...]:
        values = self._values.get(key, [])
        if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
            raise self._error(key, f"'{key}' is no list of texts")
        return tuple(self._expand(key, text, hide=hide) for text in values)

    def _one_or_more(self, key: str, *, hide: bool = False) -> tuple[str, ...]:
        if isinstance(self._values.get(key), list):
            return self._texts(key, hide=hide)
        text = self._text(key, hide=hide)
        return () if text is None else (text,)

    def _text(self, key: str, *, hide: bool = False, lines: bool = False) -> str | None:
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._error(key, f"'{key}' is no text")
        return self._expand(key, value, hide=hide, lines=lines)

    def _expand(self, key: str, text: str, *, hide: bool = False, lines: bool = False) -> str:
        try:
            text = self._variables.expand(text, hide=hide)
        except ValueError as error:
            raise self._error(key, f"'{key}': {error}") from None
        if not text or (not lines and CONTROL.search(text)):
            raise self._error(key, f"'{key}' holds a text that is empty or has control characters")
        return text

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self._error(key, f"'{key}' is neither true nor false")
        return value

    def _choice(self, key: str, choices: tuple[str, ...]) -> Any:
        value = self._text(key)
        if value is not None and value not in choices:
            raise self._error(key, f"'{key}' is not among {', '.join(choices)}")
        return value

    def _error(self, key: str, what: str) -> BadFormatError:
        at_top = key in self._values and key not in self._own
        return format_error(self._file, None if at_top else f"job '{self._title}'", what)


def _argument(text: str, directory: str) -> str:
    """A path argument, or a pattern of them; links are found from the directory of the file."""
    return os.path.join(directory, text) if "/" in text else text


def format_error(file: str, place: str | None, what: str) -> BadFormatError:
    """The error about a place of a jobs file; no place is its top."""
    where = f"'{file}'" if place is None else f"'{file}', {place}"
    return BadFormatError(f"{where}: {what}", file=file)

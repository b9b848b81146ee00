"""Security advisories in JSON: the packages that they name, and the versions that are vulnerable.

Source: the Open Source Vulnerability format (ossf.github.io/osv-schema), versions 1.0 to 1.7, one
document, a list of them, or an answer of its server (`{"vulns": [...]}`); vulnix(1), "OUTPUT
FORMATS", for the JSON that it prints: a list with a member for each derivation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any, Final

from graft.errors import BadFormatError
from graft.formats.drv_name import compare_versions, split_drv_name
from graft.formats.package_range import PackageRange

_BEGINNING: Final = "0"  # OSV: the version before all versions
_EPOCH: Final = re.compile(r"\A[0-9]+:")  # of Debian's versions, which no store path has
_COMPARABLE: Final = frozenset({"SEMVER", "ECOSYSTEM"})
_IDENTIFIER: Final = re.compile(r"CVE-[0-9]{4}-[0-9]{4,}", re.IGNORECASE)
_NAME: Final = re.compile(r"[0-9A-Za-z+\-._?=]+")
# What Nix's package sets write before the name of a language's package.
_LANGUAGE: Final = re.compile(
    r"(?:python|perl|ruby|lua|luajit|ocaml|php|emacs|R|nodejs|guile)[0-9.]*-", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisoryEntry:
    """A package that an advisory names.

    Attributes:
        name: the name, as the advisory has it.
        ranges: the vulnerable versions: one of these ranges.
        vulnerabilities: the identifiers, the names of one vulnerability first.
        every: whether all of `vulnerabilities` are separate ones, that a path has until all are
            fixed; else they are names of one.
        derivation: the full path of the `.drv` that is vulnerable; the rest is of no account then,
            if something was built from it.
        open: why the versions cannot be compared; None if they can be.
    """

    name: str
    ranges: tuple[PackageRange, ...]
    vulnerabilities: tuple[str, ...]
    every: bool = False
    derivation: str | None = None
    open: str | None = None

    def is_named(self, package_name: str) -> bool:
        """Whether the package of a store path is this one, by its name in Nix's package sets."""
        own = _folded(self.name)
        return own in {_folded(package_name), _folded(_LANGUAGE.sub("", package_name, count=1))}


def _folded(name: str) -> str:
    """A name without the differences that registries do not make."""
    return name.lower().replace("_", "-")


def parse_advisory(text: str, file: str) -> tuple[AdvisoryEntry, ...]:
    """Reads an advisory.

    Args:
        file: the file's name in messages.

    Raises:
        BadFormatError: it is neither an OSV document nor the JSON of vulnix, or names no package.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BadFormatError(
            f"'{file}' holds no JSON: give an OSV document, or the output of 'vulnix --json'",
            path=file,
        ) from error
    if isinstance(document, dict) and isinstance(document.get("vulns"), list):
        document = document["vulns"]
    documents = document if isinstance(document, list) else [document]
    entries: list[AdvisoryEntry] = []
    for one in documents:
        if isinstance(one, dict) and isinstance(one.get("affected_by"), list):
            entries += _of_vulnix(one)
        elif isinstance(one, dict) and isinstance(one.get("id"), str):
            if not one.get("withdrawn"):
                entries += _of_osv(one, file)
        else:
            raise BadFormatError(
                f"'{file}' is no advisory: give an OSV document, or the output of 'vulnix --json'",
                path=file,
            )
    if not entries:
        raise BadFormatError(f"the advisory '{file}' names no package that is affected", path=file)
    return tuple(entries)


def _of_vulnix(member: Mapping[str, Any]) -> Iterator[AdvisoryEntry]:
    name, version = split_drv_name(str(member.get("name") or ""))
    name = str(member.get("pname") or name)
    version = str(member.get("version") or version)
    vulnerabilities = tuple(str(one) for one in member["affected_by"])
    derivation = member.get("derivation")
    if vulnerabilities and name:
        yield AdvisoryEntry(
            name=name,
            ranges=(PackageRange(name=name, bounds=(("=", version),) if version else ()),),
            vulnerabilities=vulnerabilities,
            every=True,
            derivation=str(derivation) if derivation else None,
        )


def _of_osv(document: Mapping[str, Any], file: str) -> Iterator[AdvisoryEntry]:
    names = [document["id"], *_texts(document.get("aliases")), *_texts(document.get("upstream"))]
    vulnerabilities = tuple(dict.fromkeys(names))
    affected = document.get("affected")
    for one in affected if isinstance(affected, list) else []:
        package = one.get("package") if isinstance(one, dict) else None
        name = package.get("name") if isinstance(package, dict) else None
        if not isinstance(name, str):
            continue
        # Registries of Go and Java name packages by addresses: the last part is the package's.
        name = re.split(r"[/:@]", name)[-1]
        if not _NAME.fullmatch(name):
            raise BadFormatError(
                f"the advisory '{file}' names the package {name!r}, which no store path can be",
                path=file,
            )
        ranges = [*_ranges(name, one.get("ranges")), *_versions(name, one.get("versions"))]
        says_nothing = not one.get("ranges") and not one.get("versions")
        yield AdvisoryEntry(
            name=name,
            ranges=(PackageRange(name=name, bounds=()),) if says_nothing else tuple(ranges),
            vulnerabilities=vulnerabilities,
            open=None if ranges or says_nothing else "it gives commits in the place of versions",
        )


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _versions(name: str, versions: object) -> Iterable[PackageRange]:
    for version in _texts(versions):
        yield PackageRange(name=name, bounds=(("=", _EPOCH.sub("", version)),))


def _ranges(name: str, ranges: object) -> Iterator[PackageRange]:
    for one in ranges if isinstance(ranges, list) else []:
        if isinstance(one, dict) and one.get("type") in _COMPARABLE:
            yield from _intervals(name, one.get("events"))


def _intervals(name: str, events: object) -> Iterator[PackageRange]:
    """The intervals between events: from each introduction to the next end."""
    found = [
        (kind, _EPOCH.sub("", str(version)))
        for event in (events if isinstance(events, list) else [])
        if isinstance(event, dict)
        for kind, version in event.items()
    ]
    begin: str | None = None
    for kind, version in sorted(found, key=cmp_to_key(_order)):
        if kind == "introduced":
            begin = version if begin is None else begin
        elif begin is not None and kind in {"fixed", "last_affected"}:
            end = ("<" if kind == "fixed" else "<=", version)
            yield PackageRange(name=name, bounds=(*_from(begin), end))
            begin = None
    if begin is not None:
        yield PackageRange(name=name, bounds=_from(begin))


def _order(one: tuple[str, str], other: tuple[str, str]) -> int:
    """The order of events by their versions; OSV's own beginning comes first."""
    first, second = (each == ("introduced", _BEGINNING) for each in (one, other))
    return second - first or compare_versions(one[1], other[1])


def _from(version: str) -> tuple[tuple[str, str], ...]:
    return () if version == _BEGINNING else ((">=", version),)


def patched_vulnerabilities(patches: Iterable[str]) -> frozenset[str]:
    """The vulnerabilities that the names of patches name."""
    return frozenset(found.upper() for text in patches for found in _IDENTIFIER.findall(text))

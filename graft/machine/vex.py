"""Grafts told to other tools: an option of NixOS that has the same effect, and VEX.

Sources: `system.replaceDependencies` in nixos/modules/system/activation/top-level.nix of nixpkgs;
the OpenVEX specification, 0.2.0. A package URL of type `nix` has the name and the version that
`builtins.parseDrvName` finds, as SBOM tools for nixpkgs write it.
"""

from __future__ import annotations

import json
import re
import urllib.parse
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from graft.errors import UsageError
from graft.formats.store_path import StoreDir, StorePath
from graft.machine.record import GraftRecord
from graft.machine.status import Standing
from graft.version import VERSION

_VULNERABILITY: Final = re.compile(r"CVE-[0-9]{4}-[0-9]{4,}|GHSA(?:-[0-9a-z]{4}){3}")
_CONTEXT: Final = "https://openvex.dev/ns/v0.2.0"


def nixos_option(grafts: Iterable[GraftRecord], store_dir: StoreDir) -> str:
    """The option that has NixOS make the same replacements at every rebuild, as Nix text."""
    pairs: dict[StorePath, StorePath] = {}
    cutoffs: set[StorePath] = set()
    for graft in grafts:
        pairs |= graft.replacements
        cutoffs |= graft.cutoffs
    lines = [
        "# builtins.storePath needs --impure with flakes: name the packages there instead.",
        "system.replaceDependencies.replacements = [",
    ]
    for old, new in sorted(pairs.items()):
        if len(old) != len(new):
            lines.append("  # NixOS refuses names of different lengths: build NEW as long as OLD.")
        lines += [
            "  {",
            f"    oldDependency = builtins.storePath {_text(old, store_dir)};",
            f"    newDependency = builtins.storePath {_text(new, store_dir)};",
            "  }",
        ]
    lines.append("];")
    if cutoffs:
        lines.append("system.replaceDependencies.cutoffPackages = [")
        lines += [f"  (builtins.storePath {_text(one, store_dir)})" for one in sorted(cutoffs)]
        lines += ["  config.system.build.initialRamdisk", "];"]
    return "\n".join(lines) + "\n"


def _text(path: StorePath, store_dir: StoreDir) -> str:
    return json.dumps(store_dir.path(path))


def vulnerabilities(note: str | None) -> list[str]:
    """The identifiers of vulnerabilities in a note, in their order."""
    return list(dict.fromkeys(_VULNERABILITY.findall(note or "")))


def package_url(path: StorePath) -> str:
    """The package URL of a store path's package."""
    name, version = path.package_name, path.name[len(path.package_name) + 1 :]
    return "pkg:nix/" + "@".join(urllib.parse.quote(part) for part in (name, version) if part)


def vex_document(
    standings: Sequence[Standing],
    store_dir: StoreDir,
    *,
    author: str,
    given: Sequence[str] = (),
    now: int,
) -> dict[str, Any]:
    """An OpenVEX document that says of each graft's roots whether it fixes them.

    Scanners that go by names and versions do not see a graft, or find OLD's name in an alias.

    Args:
        author: the author of the document.
        given: the vulnerabilities, where the notes have no identifiers, or to say it of others.
        now: in seconds since 1970.

    Raises:
        UsageError: the vulnerability of a graft is unknown.
    """
    statements = []
    for standing in standings:
        graft = standing.graft
        names = list(given) or vulnerabilities(graft.note)
        if not names:
            raise UsageError(
                f"the vulnerability of the graft '{graft.id}' is unknown: give --vulnerability ID, "
                "or the identifier in --note when grafting"
            )
        statements += [_statement(standing, name, store_dir) for name in names]
    text = json.dumps([_CONTEXT, author, statements], sort_keys=True)
    return {
        "@context": _CONTEXT,
        "@id": uuid.uuid5(uuid.NAMESPACE_URL, text).urn,
        "author": author,
        "timestamp": _timestamp(now),
        "version": 1,
        "tooling": f"graft {VERSION}",
        "statements": statements,
    }


def _statement(standing: Standing, name: str, store_dir: StoreDir) -> dict[str, Any]:
    graft = standing.graft
    fixed = standing.state == "in-force"
    roots = sorted(graft.roots.values() if fixed else graft.roots)
    pairs = ", ".join(
        f"{store_dir.path(old)} by {store_dir.path(new)}"
        for old, new in sorted(graft.replacements.items())
    )
    statement: dict[str, Any] = {
        "vulnerability": {"name": name},
        "timestamp": _timestamp(graft.time),
        "products": [
            {
                "@id": f"{package_url(root)}?store_path={urllib.parse.quote(store_dir.path(root))}",
                "identifiers": {"purl": package_url(root)},
                "subcomponents": [
                    {"@id": package_url(old), "identifiers": {"purl": package_url(old)}}
                    for old in sorted(graft.replacements)
                ],
            }
            for root in roots
        ],
        "status": "fixed" if fixed else "affected",
        "status_notes": f"graft {graft.id} replaced {pairs} in the closure, without a rebuild",
    }
    if not fixed:
        statement["status_notes"] = f"graft {graft.id}, which replaced {pairs}, is not in force"
        statement["action_statement"] = "graft again, or build with the replacement"
    return statement


def _timestamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

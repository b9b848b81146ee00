"""The version of the Nix of a store, and the rule by which that Nix hashes self-references.

Source: `--version` of Nix's programs. graft.formats.hash_modulo has the rules.
"""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from graft.errors import UsageError
from graft.formats.hash_modulo import SelfReferences
from graft.store.api import LOCAL_PRIORITY, Source

_log = logging.getLogger(__name__)

# `nix-store (Nix) 2.8.0`, `nix-store (Lix, like Nix) 2.91.1`, `... (Determinate Nix 3.6) 2.29.0`.
_VERSION: Final = re.compile(r"^\S+ \((?P<program>.+)\) (?P<number>\d+\.\d+\S*)\s*$")
_FIRST_ZEROED: Final = (2, 17)
_FIRST_AFTER: Final = (2, 35)
_PATIENCE_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class NixVersion:
    """A version of Nix, or of a program that is made of Nix's sources.

    Attributes:
        program: its name: `Nix`, `Lix, like Nix`.
        number: the version, such as `2.34.8`.
    """

    program: str
    number: str

    def __str__(self) -> str:
        return f"{self.program.partition(',')[0]} {self.number}"

    @property
    def numbers(self) -> tuple[int, int]:
        """The major and the minor version."""
        major, minor = re.findall(r"\d+", self.number)[:2]
        return int(major), int(minor)

    @property
    def self_references(self) -> SelfReferences:
        """The rule of this version. Lix was made of Nix 2.18, and counts its own versions."""
        zeroed = _FIRST_ZEROED <= self.numbers < _FIRST_AFTER
        return "zeroed" if zeroed or self.program.startswith("Lix") else "positions"


def nix_version(environment: Mapping[str, str]) -> NixVersion | None:
    """The version of the Nix that an environment finds; None if no Nix is there that tells
    its version.
    """
    return _version_of(environment.get("PATH", ""))


@lru_cache
def _version_of(path: str) -> NixVersion | None:
    try:
        done = subprocess.run(
            ["nix-store", "--version"],
            env={"PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE_SECONDS,
        )
    except (FileNotFoundError, PermissionError, NotADirectoryError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.match(done.stdout)
    return NixVersion(match["program"], match["number"]) if match and not done.returncode else None


def rule_of(store: Source, environment: Mapping[str, str]) -> SelfReferences:
    """The rule by which the Nix of a store hashes self-references.

    It is the rule of the Nix on this machine for a store on this machine. Most Nixes that take
    paths from a cache have the rule `zeroed`. The log says which rule it is, and why.
    """
    version = nix_version(environment) if store.priority == LOCAL_PRIORITY else None
    rule: SelfReferences = version.self_references if version is not None else "zeroed"
    _log.warning(
        "new names are the names that %s computes (--self-references %s)",
        version or "Nix 2.17 to 2.34",
        rule,
    )
    return rule


def check_rule(
    rule: SelfReferences, store: Source, environment: Mapping[str, str], *, imported: bool
) -> None:
    """Makes sure that the Nix of a store on this machine hashes by a rule.

    Args:
        imported: whether that Nix takes the new paths itself, as a daemon does. If not, a Nix with
            the other rule is only a note in the log: the paths may be for another machine.

    Raises:
        UsageError: it has the other rule, and would refuse the new paths.
    """
    version = nix_version(environment) if store.priority == LOCAL_PRIORITY else None
    if version is None or version.self_references == rule:
        return
    if not imported:
        _log.warning("%s on this machine computes other names, and exports no such path", version)
    else:
        raise UsageError(
            f"{version} on this machine names paths by the rule '{version.self_references}', and "
            f"takes no path that is named by the rule '{rule}': leave out --self-references",
            rule=rule,
            version=version.number,
        )

"""Some versions of a package, as advisories name them: `openssl<3.0.14`, `openssl>=3.0,<3.0.14`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from graft.errors import BadFormatError
from graft.formats.drv_name import compare_versions, split_drv_name
from graft.formats.store_path import StorePath

_NAME: Final = re.compile(r"[0-9A-Za-z+\-._?=]+")
_BOUND: Final = re.compile(r"(<=|>=|==?|<|>) *([0-9A-Za-z+\-._?]+)")
_HOLDS: Final[dict[str, Callable[[int], bool]]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    "=": lambda order: order == 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}

# The outputs of nixpkgs' stdenv (pkgs/build-support/setup-hooks/multiple-outputs.sh), and two more
# that many packages have. Their names stand behind the version, and say nothing of it.
_OUTPUT: Final = re.compile(r"-(?:bin|debug|dev|devdoc|devman|doc|info|lib|man|out|static)\Z")


def version_of(path: StorePath) -> str:
    """The version in the name of a store path, without the name of an output; empty without one.

    A distribution's revision, such as the 52 of `glibc-2.39-52`, belongs to it.
    """
    version = split_drv_name(path.name.removesuffix(".drv"))[1]
    return _OUTPUT.sub("", f"-{version}").removeprefix("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRange:
    """The store paths of a package in some of its versions.

    A bound without a revision covers all revisions of its version: `<=2.39` holds of `2.39-52`,
    which Nix has as the newer one of the two. Advisories name no distribution's revisions.

    Attributes:
        name: as `builtins.parseDrvName` has it.
        bounds: operators `<`, `<=`, `=`, `>`, `>=` with versions; all of them hold. Without any
            every version is meant.
    """

    name: str
    bounds: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name, with bounds that commas separate, or a name with one version.

        Raises:
            BadFormatError: the text has no such form.
        """
        end = re.search(r"[<>=]|\Z", text)
        assert end is not None
        name, rest = text[: end.start()].strip(), text[end.start() :]
        matches = [_BOUND.fullmatch(part.strip()) for part in rest.split(",")] if rest else []
        bounds = tuple(
            ("=" if match[1] == "==" else match[1], match[2])
            for match in matches
            if match is not None
        )
        if not _NAME.fullmatch(name) or len(bounds) < len(matches):
            raise BadFormatError(
                f"'{text}' names no package: say a name, or bounds as well, such as "
                "'openssl<3.0.14' or 'openssl>=3.0,<3.0.14'",
                text=text,
            )
        package, version = split_drv_name(name)
        if version and bounds:
            raise BadFormatError(
                f"'{text}' has the version '{version}' in its name, and bounds as well: say "
                f"'{package}{rest}' or '{name}'",
                text=text,
            )
        return cls(name=package, bounds=(("=", version),) if version else bounds)

    def __str__(self) -> str:
        return self.name + ",".join(operator + version for operator, version in self.bounds)

    def contains(self, path: StorePath) -> bool | None:
        """Whether a path is meant; None if it has the name, but no version to compare.

        Derivations are never meant: a path is built by them.
        """
        if path.package_name != self.name or path.is_derivation:
            return False
        if not self.bounds:
            return True
        version = version_of(path)
        if not version:
            return None
        return all(_holds(version, bound) for bound in self.bounds)

    def by_revision(self, path: StorePath) -> bool:
        """Whether a path is meant only because a bound covers the revisions of its version."""
        version = version_of(path)
        return bool(self.contains(path)) and not all(
            _HOLDS[operator](compare_versions(version, bound)) for operator, bound in self.bounds
        )


def _holds(version: str, bound: tuple[str, str]) -> bool:
    operator, other = bound
    if _HOLDS[operator](compare_versions(version, other)):
        return True
    # A `2.39-52` is a `2.39`, where nobody speaks of revisions.
    upstream = version.partition("-")[0]
    return "-" not in other and _HOLDS[operator](compare_versions(upstream, other))

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
_BOUND: Final = re.compile(r"(<=|>=|<|>) *([0-9A-Za-z+\-._?=]+)")
_HOLDS: Final[dict[str, Callable[[int], bool]]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}

# The outputs of nixpkgs' stdenv (pkgs/build-support/setup-hooks/multiple-outputs.sh), and two more
# that many packages have. Their names stand behind the version, and say nothing of it.
_OUTPUT: Final = re.compile(r"-(?:bin|debug|dev|devdoc|devman|doc|info|lib|man|out|static)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRange:
    """The store paths of a package in some of its versions.

    Attributes:
        name: as `builtins.parseDrvName` has it.
        bounds: operators `<`, `<=`, `>`, `>=` with versions; all of them hold. Without any every
            version is meant.
    """

    name: str
    bounds: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name, with bounds that commas separate.

        Raises:
            BadFormatError: the text has no such form.
        """
        end = re.search(r"[<>]|\Z", text)
        assert end is not None
        name, rest = text[: end.start()].strip(), text[end.start() :]
        matches = [_BOUND.fullmatch(part.strip()) for part in rest.split(",")] if rest else []
        bounds = tuple((match[1], match[2]) for match in matches if match is not None)
        if not _NAME.fullmatch(name) or len(bounds) < len(matches):
            raise BadFormatError(
                f"'{text}' names no package: say a name, or bounds as well, such as "
                "'openssl<3.0.14' or 'openssl>=3.0,<3.0.14'",
                text=text,
            )
        if split_drv_name(name)[1]:
            version = split_drv_name(name)[1]
            raise BadFormatError(
                f"'{name}' has the version '{version}' in its name, which no package's name has: "
                f"say '{split_drv_name(name)[0]}', with bounds if need be",
                text=text,
            )
        return cls(name=name, bounds=bounds)

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
        version = _OUTPUT.sub("", f"-{split_drv_name(path.name)[1]}").removeprefix("-")
        if not version:
            return None
        return all(
            _HOLDS[operator](compare_versions(version, bound)) for operator, bound in self.bounds
        )

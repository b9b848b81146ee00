"""Which two versions of a library the old and the new root have, and where the new one is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .index import Index, PackageIndexError
from .replacement import Edit

# What the figures in the documentation were measured with; used where apt still offers both.
PINNED_OPENSSL = ("3.0.20-1~deb12u2", "3.0.22-1~deb12u2")

How = Literal["pinned", "apt", "edited"]


@dataclass(frozen=True)
class Variant:
    """What was replaced: the derivation, its Debian versions, and how the new one came about.

    `old_text` and `new_text` are the versions as the library itself tells them, of equal length
    unless `how` is "apt".
    """

    name: str
    old_version: str
    new_version: str
    how: How
    old_text: str
    new_text: str

    @property
    def equal_length(self) -> bool:
        """Whether the store names are of one length; else rebuilt ELF files are no ground truth.

        patchelf lays out the string table of a file by the length of its search path.
        """
        return self.how == "edited" or len(self.old_version) == len(self.new_version)


@dataclass(frozen=True)
class Choice:
    """How one root is made: pinned versions by source package, and edited archives."""

    pins: Mapping[str, str] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class Pair:
    """The old root's choice, the new root's, and what that amounts to."""

    old: Choice
    new: Choice
    variant: Variant


# For libraries of which apt has one version: the package, and what precedes the version in the
# text to change. zlib's version stands alone in what zlibVersion() returns; glibc's is part of
# its symbols' versions as well, which must stay, so there only the library's banner changes.
EDITED = {"zlib": ("zlib1g", ""), "glibc": ("libc6", "release version ")}
_DERIVATIONS = {"zlib": "zlib1g"}  # where it is not the variant's own name

NAMES = ("openssl", *EDITED)


def choose(name: str, index: Index) -> Pair:
    """The pair for `openssl`, `zlib` or `glibc`; all three have the same old root."""
    base, openssl = _openssl(index)
    if name == "openssl":
        return openssl
    if name not in EDITED:
        raise ValueError(f"no variant {name!r}: choose {', '.join(NAMES)}")
    package, context = EDITED[name]
    candidate = index.candidate(package, base.pins)
    if candidate is None:
        raise PackageIndexError(f"apt does not know {package}")
    return _edited(base, _DERIVATIONS.get(name, name), package, candidate.version, context)


def _openssl(index: Index) -> tuple[Choice, Pair]:
    versions = list(index.versions("libssl3"))
    if not versions:
        raise PackageIndexError("apt does not know libssl3: run `apt-get update` first")
    how: How = "pinned" if set(PINNED_OPENSSL) <= set(versions) else "apt"
    if how == "apt" and len(versions) == 1:
        base = Choice({"openssl": versions[0]})
        return base, _edited(base, "openssl", "libssl3", versions[0], "OpenSSL ")
    old, new = PINNED_OPENSSL if how == "pinned" else (versions[-2], versions[-1])
    base = Choice({"openssl": old})
    variant = Variant("openssl", old, new, how, _upstream(old), _upstream(new))
    return base, Pair(base, Choice({"openssl": new}), variant)


def _edited(base: Choice, derivation: str, package: str, version: str, context: str) -> Pair:
    old = _upstream(version)
    new = bump(old)
    edit = Edit(package, f"{context}{old}".encode(), f"{context}{new}".encode())
    variant = Variant(derivation, version, f"{version} edited", "edited", old, new)
    return Pair(base, Choice(base.pins, (edit,)), variant)


def bump(text: str) -> str:
    """A version with its last digit changed to another one: as long as the old one."""
    place = max(i for i, character in enumerate(text) if character.isdigit())
    return f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}"


def _upstream(version: str) -> str:
    """The upstream version in a Debian one, as the library itself prints it."""
    plain = version.rpartition(":")[2].rpartition("-")[0]
    return plain.partition("+")[0].partition(".dfsg")[0]

"""The parts of a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from graft.formats.content_address import ContentAddress
from graft.formats.hash_modulo import HashModulo, SelfReferences
from graft.formats.store_path import StorePath

Addressing = Literal["input", "content"]
"""The origin of new paths' names: their inputs, or their own bytes."""

ADDRESSINGS: Final[tuple[Addressing, ...]] = ("input", "content")
"""Both, the default first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """One path to be copied with other hash parts in its bytes.

    Attributes:
        path: the original.
        new_path: the path of the copy.
        references: D(p): which of its references end up elsewhere, and where. Empty where a path
            is only named after its contents.
        replaced: the keys of D whose place another package takes; the other keys become copies.
        nar_size: length of the NAR of the original in bytes, which only fix-ups ever change.
        fixups: the settings of fix-ups, as for `graft.fixups.registered`.
    """

    path: StorePath
    new_path: StorePath
    references: Mapping[StorePath, StorePath]
    nar_size: int
    fixups: tuple[str, ...] = ()
    replaced: frozenset[StorePath] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A symlink to NEW under a name as long as OLD's, for names of unequal length.

    Attributes:
        path: the alias itself.
        target: where NEW ended up.
        replaces: the OLD whose name it has.
    """

    path: StorePath
    target: StorePath
    replaces: StorePath


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentName:
    """The name from contents that replaces a placeholder.

    Attributes:
        path: the real name.
        digest: SHA-256 of the path's NAR modulo self-references, 32 bytes.
        rule: by which it was computed.
        holds_itself: whether there are self-references; else it is the NAR's own hash.
        found: old paths that are still found in the bytes, and so are among the references in the
            name.
    """

    path: StorePath
    digest: bytes
    rule: SelfReferences
    holds_itself: bool
    found: frozenset[StorePath] = frozenset()

    @property
    def address(self) -> ContentAddress:
        """The content address, as the database has it."""
        return ContentAddress(prefix="fixed:r:", algorithm="sha256", digest=self.digest)

    @property
    def new_modulo(self) -> Callable[[], HashModulo] | None:
        """The function that makes the hash of the NAR modulo self-references, if it is needed."""
        if not self.holds_itself:
            return None
        return partial(HashModulo, self.path.hash_part, self.rule)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PlanWarning:
    """Something a person should know before the plan is carried out.

    Attributes:
        kind: a stable word for scripts; docs/reference/warnings.md lists them.
        path: the path of the warning, if it has one.
        message: one lower-case sentence.
    """

    kind: str
    path: StorePath | None
    message: str

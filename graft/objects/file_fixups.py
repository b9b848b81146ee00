"""The fix-ups at work on one file of a store object, wherever its bytes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graft.errors import FixupError
from graft.fixups import HEAD, Fixup, FixupOutcome, InnerFile, NameSearch, Registry, Siblings
from graft.fixups.api import BrokenFixupError
from graft.fixups.guarded import GUARDED, GUARDED_SIZE
from graft.formats.file_name import printable

if TYPE_CHECKING:
    from graft.fixups.fragments import FragmentFinder
    from graft.kernel import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedFile:
    """The result of the fix-ups for one file.

    Attributes:
        file: its path from the top of the tree, in new names.
        outcomes: the outcomes of the files in it, and of itself, which comes last.
        replaced: whether its bytes differ from the plain rewrite.
    """

    file: bytes
    outcomes: tuple[FixupOutcome, ...]
    replaced: bool


@dataclass(frozen=True, slots=True)
class FileFix:
    """The new contents of one file, and the outcomes.

    Attributes:
        contents: its new bytes, where plain rewriting makes others; None: the original's bytes.
        replaced: whether plain rewriting makes others.
        outcomes: the outcomes of the files in it, and of itself, which comes last.
        unshared: whether it has new bytes, and plain rewriting would leave it unchanged.
    """

    contents: bytes | None
    replaced: bool
    outcomes: tuple[FixupOutcome, ...]
    unshared: bool = False

    def fixed(self, path: bytes, table: Table) -> FixedFile:
        """The same, as reports show it.

        Args:
            path: the file's, in old names.
            table: by which names are rewritten.
        """
        renamed = b"/".join(table.rewrite(part)[0] for part in path.split(b"/"))
        return FixedFile(file=renamed, outcomes=self.outcomes, replaced=self.replaced)


@dataclass(frozen=True, slots=True)
class ChangedName:
    """A file that a graft changes.

    Attributes:
        file: relative to the top of its tree, in old names; empty for the top itself.
        inner: the files in it that change, if it is a container.
    """

    file: bytes
    inner: tuple[InnerFile, ...] = ()


class FileFixups:
    """The fix-ups of a registry, applied to files.

    Args:
        table: the references that are rewritten.
        fragments: finds fragments of the same; None: references that compilers have cut up stay.
        names: finds escaped names of the same; None: no name follows its hash part in an escaped
            spelling.

    Attributes:
        table: the same.
    """

    def __init__(
        self,
        registry: Registry,
        table: Table,
        fragments: FragmentFinder | None = None,
        names: NameSearch | None = None,
    ) -> None:
        self.table = table
        self._registry = registry
        self._fragments, self._names = fragments, names
        self._marks = registry.marks

    def recognise(self, head: bytes, name: bytes) -> Fixup | None:
        """The fix-up of a file.

        Args:
            head: its first `HEAD` bytes, if it has as many.
            name: without directories.
        """
        return self._registry.recognise(head, name)

    def marks(self, head: bytes, name: bytes) -> bool:
        """Whether a walk would mark a file.

        Args:
            name: empty for a file that is the whole object: its name is no mark.
        """
        return (bool(name) and self._marks.has(name)) or self._marks.begins(head[:HEAD])

    def is_too_large(self, size: int) -> bool:
        """Whether files of a size, in bytes, are not opened."""
        return size > self._registry.limits.size

    def may_be_guarded(self, size: int) -> bool:
        """Whether a changed file of no type and of a size, in bytes, is looked at for sums."""
        return GUARDED.name in self._registry.switched_on and size <= GUARDED_SIZE

    def too_large(self, fixup: Fixup) -> FileFix:
        """The result for a file that is not opened."""
        outcome = FixupOutcome(
            container=(),
            fixup=fixup.name,
            outcome="left-alone",
            reason=f"it is larger than {self._registry.limits.size} bytes",
        )
        return FileFix(None, not fixup.plain_without, (outcome,))

    def fix(
        self,
        fixup: Fixup,
        data: bytes,
        path: bytes,
        siblings: Siblings,
        plain: bytes | bytearray | None = None,
        inner: list[InnerFile] | None = None,
    ) -> FileFix | None:
        """The result for a file; None if plain rewriting makes it, silently.

        Args:
            fixup: whose file it is.
            data: the whole file, as it was.
            path: its old path, from the top of its tree.
            plain: the plain rewrite of it, if that is known.
            inner: takes the changed files in it; None: no caller asks for them.
        """
        new, outcomes = self._registry.rewrite(
            data, path, self.table, siblings, self._fragments, names=self._names, inner=inner
        )
        if not outcomes and not fixup.opens:
            return None
        replaced = unshared = False
        # A file with notes alone is as plain rewriting makes it, unless references were put back.
        if fixup.opens or new == data or any(each.outcome != "noted" for each in outcomes):
            plain = self.table.rewrite(data)[0] if plain is None else plain
            replaced = new != plain
            unshared = replaced and plain == data
        if not replaced and not outcomes:
            return None
        return FileFix(new if replaced else None, replaced, tuple(outcomes), unshared)


def broken_fixup(error: BrokenFixupError, full: bytes) -> FixupError:
    """The error for a user's own fix-up that failed on a file.

    Args:
        full: the file's path, as messages show it.
    """
    shown = printable(full)
    return FixupError(
        f"the fix-up '{error.fixup}' fails on '{shown}' ({error}): mend the fix-up, or leave its "
        f"files alone with --fixup no-{error.fixup}",
        file=shown,
        fixup=error.fixup,
    )


def check_vital(outcomes: Sequence[FixupOutcome], full: bytes) -> None:
    """Makes sure that a file may be left alone.

    Args:
        full: its path, as messages show it.

    Raises:
        FixupError: it must not.
    """
    for outcome in outcomes:
        if outcome.fatal:
            where = "/".join([printable(full), *outcome.container])
            raise FixupError(
                f"'{where}' must not be left alone, and cannot be rewritten: "
                f"{outcome.reason}; cut the path off, or leave the file alone on purpose with "
                f"--fixup no-{outcome.fixup}",
                file=where,
                fixup=outcome.fixup,
            )

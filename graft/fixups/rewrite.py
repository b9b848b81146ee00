"""Files looked into to any depth: the way in, the limits, and the record of the finds."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from graft.fixups.allowance import Allowance
from graft.fixups.api import (
    SIGNATURES,
    Fixup,
    FixupOutcome,
    LeftAloneError,
    Limits,
    UnknownLibraryError,
    Where,
)
from graft.fixups.damage import DAMAGE, damage
from graft.fixups.guarded import GUARDED, GUARDED_SIZE
from graft.fixups.guards import tail_sum
from graft.fixups.search import Recogniser
from graft.fixups.streams import checked_streams
from graft.formats.digests import Digests, digests
from graft.kernel import HASH_LENGTH, Hit

if TYPE_CHECKING:
    from graft.fixups.fragments import FragmentFinder
    from graft.kernel import Table


class InnerFile(NamedTuple):
    """A file in a container that was changed.

    Attributes:
        container: the steps to it, as in a Place.
        old: digests of its old contents.
    """

    container: tuple[str, ...]
    old: Digests


class Siblings(Protocol):
    """The other files of a tree or a container, by their old paths in it."""

    def old(self, path: bytes) -> bytes | None:
        """A file before the rewrite; None if it is missing."""
        ...

    def new(self, path: bytes) -> bytes | None:
        """The same file after the rewrite."""
        ...

    def changed(self, path: bytes) -> bool:
        """Whether there is such a file, and it is other bytes now."""
        ...

    def is_signed(self, path: bytes) -> bool:
        """Whether a file has a signature in a file next to it."""
        ...

    def detached(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """The files of a name, old and new, wherever they are."""
        ...


class EscapedName(Protocol):
    """Names in another spelling behind the hash parts of a file."""

    @property
    def offsets(self) -> tuple[int, ...]:
        """The offsets of the hash parts."""

    @property
    def contents(self) -> bytes | None:
        """The file with hash parts and names changed; None: not all of it can be."""


class NameSearch(Protocol):
    """The search for names that follow a hash part in another spelling."""

    def find(self, data: bytes) -> EscapedName | None:
        """The names in a whole file; None for a file without any."""
        ...


class Members:
    """The members of a container, each rewritten when it is first asked for.

    Args:
        files: each by its path and its bytes.
        rewritten: gives the new bytes of one.
    """

    def __init__(
        self,
        files: Sequence[tuple[bytes, bytes]],
        rewritten: Callable[[Siblings, bytes, bytes], bytes],
    ) -> None:
        self._files, self._rewritten = files, rewritten
        self._results: list[bytes | None] = [None] * len(files)
        self._begun: set[int] = set()
        self._indices = {path: index for index, (path, _) in enumerate(files)}

    def all(self) -> list[bytes]:
        """The new bytes of all members."""
        return [self._at(index) for index in range(len(self._files))]

    def old(self, path: bytes) -> bytes | None:
        """A member as it was."""
        index = self._indices.get(path)
        return None if index is None else self._files[index][1]

    def new(self, path: bytes) -> bytes | None:
        """A member after the rewrite; before it, if it is the asking member."""
        index = self._indices.get(path)
        return None if index is None else self._at(index)

    def changed(self, path: bytes) -> bool:
        """Whether there is such a member, and it is another now."""
        return self.old(path) != self.new(path)

    def is_signed(self, path: bytes) -> bool:
        """Whether a signature is a member as well."""
        return any(path + suffix in self._indices for suffix in SIGNATURES)

    def detached(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """The members of a name."""
        return [
            (data, self._at(index))
            for index, (path, data) in enumerate(self._files)
            if posixpath.basename(path) == name
        ]

    def _at(self, index: int) -> bytes:
        path, data = self._files[index]
        if index not in self._begun:
            self._begun.add(index)
            self._results[index] = self._rewritten(self, path, data)
        made = self._results[index]
        return data if made is None else made


class FileSearch:
    """One file gone through with everything in it.

    Args:
        recognise: tells the fix-up of a file.
        switched_on: the names of the fix-ups that may rewrite.
        table: the references that are looked for and, where they have a replacement, rewritten.
        limits: how far it is opened.
        fragments: finds fragments of the rewritten references; None: references that compilers have
            cut up stay.
        names: finds names that follow a hash part in an escaped spelling, in containers; None: they
            stay.
        replaced: hash parts of paths whose files no archive may hold that is rewritten.
        inner: takes the changed files in containers; None: no caller asks for them.
    """

    def __init__(
        self,
        recognise: Recogniser,
        switched_on: frozenset[str],
        table: Table,
        limits: Limits,
        *,
        fragments: FragmentFinder | None = None,
        names: NameSearch | None = None,
        replaced: frozenset[bytes] = frozenset(),
        inner: list[InnerFile] | None = None,
    ) -> None:
        self.names = names
        self.replaced, self.inner = replaced, inner
        self.recognise, self.switched_on = recognise, switched_on
        self.table, self.limits = table, limits
        self.fragments = fragments
        self.outcomes: list[FixupOutcome] = []
        self.made: set[bytes] = set()  # hash parts that were put in; another's OLD may be one
        self.allowance = Allowance(limits)
        self.plain = b"", b""  # bytes, and the plain rewrite of them


def _hash_part(data: bytes, hit: Hit) -> bytes:
    return data[hit.offset : hit.offset + HASH_LENGTH * hit.stride : hit.stride]


def _stream_with_change(data: bytes, new: bytes) -> str | None:
    """The kind of a stream in a file that holds a byte which is about to change."""
    if len(new) != len(data):
        return None
    for part, kind in checked_streams(data):
        if data[part.start : part.stop] != new[part.start : part.stop]:
            return kind
    return None


class FileDescent:
    """One level of a search: the files of one tree or container; the `Inside` of fix-ups."""

    def __init__(
        self,
        search: FileSearch,
        siblings: Siblings,
        *,
        path: bytes,
        depth: int = 0,
        container: tuple[str, ...] = (),
        fixup: Fixup | None = None,
    ) -> None:
        self._search, self._siblings = search, siblings
        self._path = path  # the current file's path, among the siblings
        self._depth = depth  # the current file's depth: 0 if it is in no container
        self._container = container  # the steps to the current file
        self._fixup = fixup  # in charge of it

    def file(self, data: bytes) -> bytes:
        """The current file: given to its fix-up, or searched in the open."""
        search = self._search
        name = posixpath.basename(self._path)
        fixup = search.recognise(data, name)
        if fixup is None:
            if GUARDED.name not in search.switched_on or len(data) > GUARDED_SIZE:
                return self.plain(data)
            fixup = GUARDED
        inside = FileDescent(
            search,
            self._siblings,
            path=self._path,
            depth=self._depth,
            container=self._container,
            fixup=fixup,
        )
        if fixup.opens and self._depth >= search.limits.depth:
            reason = f"it is nested deeper than {search.limits.depth} containers"
            return self._left_alone(data, fixup, reason)
        seen = len(search.outcomes)
        try:
            new = fixup.apply(data, name, inside)
            if fixup.opens:
                self._check_rest(new, seen)
        except UnknownLibraryError as error:
            return self._left_alone(data, fixup, str(error), fatal=True)
        except LeftAloneError as error:
            return self._left_alone(data, fixup, str(error))
        except DAMAGE as error:
            reason = f"it cannot be read: {type(error).__name__}: {damage(error)}"
            return self._left_alone(data, fixup, reason)
        if new == data:
            return data
        if not fixup.opens and len(data) <= GUARDED_SIZE:
            # A fix-up that looks into a stream packs it anew, as of compressed sections.
            kind = _stream_with_change(data, inside.plain(data))
            if kind is not None:
                reason = f"a reference stands within a {kind} in it, which has sums of its own"
                return self._left_alone(data, fixup, reason, plain_without=False)
        if fixup is GUARDED and new == inside.plain(data):
            return new  # it keeps no sum of itself: a file of no type
        if self._siblings.is_signed(self._path):
            reason = "its signature is in a file next to it"
            return self._left_alone(data, fixup, reason, plain_without=False)
        if fixup is not GUARDED and (own := tail_sum(data)) is not None and tail_sum(new) is None:
            reason = f"it ends with the {own.algorithm} of its bytes"
            return self._left_alone(data, fixup, reason, plain_without=False)
        if not fixup.opens and new == inside.plain(data):
            return new  # as any file would be: there was nothing to fix
        if fixup.name not in search.switched_on:
            why = f"only --fixup {fixup.name} rewrites it"
            return self._left_alone(data, fixup, why)
        self._outcome(fixup, "rewritten")
        return new

    def _check_rest(self, new: bytes, seen: int) -> None:
        """Looks for references in a part of the file that its fix-up has not shown."""
        search = self._search
        if any(outcome.outcome == "left-alone" for outcome in search.outcomes[seen:]):
            return  # a member that has its old bytes
        changed, hits, _ = search.table.rewrite(new)
        if changed != new and any(_hash_part(new, hit) not in search.made for hit in hits):
            raise LeftAloneError("a reference stands in a part of it that is not known")

    def _left_alone(
        self,
        data: bytes,
        fixup: Fixup,
        reason: str,
        *,
        fatal: bool | None = None,
        plain_without: bool = True,
    ) -> bytes:
        if fixup.name not in self._search.switched_on:
            fatal = False  # the user asked for that
        if plain_without and fixup.plain_without:
            why = f"it is rewritten as it stands: {reason}"
            self._outcome(fixup, "noted", why, fatal=fatal is True)
            return self.plain(data)
        # Rewrites inside are given up; outcomes of files left alone there stay to be told, and do
        # no more harm than the file as a whole.
        outcomes, depth = self._search.outcomes, len(self._container)
        before = [each for each in outcomes if each.container[:depth] != self._container]
        inside = [each for each in outcomes if each.container[:depth] == self._container]
        outcomes[:] = before
        outcomes += [replace(each, fatal=False) for each in inside if each.outcome == "left-alone"]
        if self._search.inner is not None:
            changed = self._search.inner
            changed[:] = [each for each in changed if each.container[:depth] != self._container]
        if fatal is None:
            fatal = fixup.vital(data, posixpath.basename(self._path))
        self._outcome(fixup, "left-alone", reason, fatal=fatal)
        return data

    def _outcome(
        self, fixup: Fixup, outcome: str, reason: str | None = None, *, fatal: bool = False
    ) -> None:
        self._search.outcomes.append(
            FixupOutcome(
                container=self._container,
                fixup=fixup.name,
                outcome=outcome,  # type: ignore[arg-type]
                reason=reason,
                fatal=fatal,
            )
        )

    # ---- the view of a fix-up -----------------------------------------------------------------

    def plain(self, data: bytes, where: Where = "contents") -> bytes:
        """Bytes that are changed as they stand."""
        del where
        known, new = self._search.plain
        if known is not data:
            new, hits, _ = self._search.table.rewrite(data)
            if self._container and any(hit.bare for hit in hits):
                new = self._renamed(data, new)
            if hits and new != data:
                self._search.made.update(_hash_part(new, hit) for hit in hits)
            else:
                new = data
            self._search.plain = data, new
        return new

    def _renamed(self, data: bytes, new: bytes) -> bytes:
        """The file in a container with names changed that follow a hash part in other spellings."""
        found = self._search.names.find(data) if self._search.names is not None else None
        if found is None:
            return new
        where = ", ".join(map(str, found.offsets[:3]))
        reason = f"a name in another spelling follows the hash part at {where}"
        if found.contents is None:
            reason += ": it is still the old one"
        self._search.outcomes.append(
            FixupOutcome(
                container=self._container,
                fixup="escaped-name",
                outcome="rewritten" if found.contents is not None else "noted",
                reason=reason,
            )
        )
        return new if found.contents is None else found.contents

    def contents(self, name: bytes, data: bytes) -> bytes:
        """The only file inside."""
        directory = posixpath.dirname(self._path)
        return self._within(self._siblings, posixpath.join(directory, name), self._step(), data)

    def members(self, files: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """All the files inside.

        Raises:
            LeftAloneError: some are files of a replaced path.
        """
        if self._search.replaced:
            self._check_foreign(path for path, _ in files)

        def rewritten(siblings: Siblings, path: bytes, data: bytes) -> bytes:
            step = f"{self._step()}:{path.decode('utf-8', 'backslashreplace')}"
            return self._within(siblings, path, step, data)

        return Members(files, rewritten).all()

    def _check_foreign(self, paths: Iterable[bytes]) -> None:
        """Makes sure that no member is a file of a replaced path."""
        for path in paths:
            for part in path.split(b"/"):
                # A file in the object's directory, or an object that is a file itself.
                if part[HASH_LENGTH : HASH_LENGTH + 1] == b"-" and (
                    part[:HASH_LENGTH] in self._search.replaced
                ):
                    shown = path.decode(errors="backslashreplace")
                    raise LeftAloneError(
                        f"it holds files of a replaced path ('{shown}'): under the name of the new "
                        "path they would be the old files all the same"
                    )

    def _within(self, siblings: Siblings, path: bytes, step: str, data: bytes) -> bytes:
        inner = FileDescent(
            self._search,
            siblings,
            path=path,
            depth=self._depth + 1,
            container=(*self._container, step),
        )
        new = inner.file(data)
        if self._search.inner is not None and new is not data and new != data:
            self._search.inner.append(InnerFile((*self._container, step), digests(data)))
        return new

    def expanded(self, read: Callable[[int], bytes], compressed: int) -> bytes:
        """The expanded contents of a compressed file, within the limits."""
        return self._search.allowance.expanded(read, compressed)

    def old(self, path: bytes) -> bytes | None:
        """A sibling of the current file, before the rewrite."""
        return self._siblings.old(self._beside(path))

    def new(self, path: bytes) -> bytes | None:
        """A sibling of the current file, after the rewrite."""
        return self._siblings.new(self._beside(path))

    def changed(self, path: bytes) -> bool:
        """Whether a sibling of the current file has other bytes now."""
        return self._siblings.changed(self._beside(path))

    def detached(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """Files of a name, wherever they are."""
        return self._siblings.detached(name)

    def fragments(self, data: bytes) -> Sequence[tuple[int, bytes]]:
        """The new bytes of paths that a compiler has cut up."""
        if self._search.fragments is None:
            return ()
        found = self._search.fragments.rewrite(data)
        for left in found.left:
            self.note(f"the fragment of a reference at {left.offset} is left alone: {left.reason}")
        return found.patches

    def note(self, text: str) -> None:
        """Keeps a note on the current file."""
        assert self._fixup is not None
        self._outcome(self._fixup, "noted", text)

    def _step(self) -> str:
        assert self._fixup is not None
        return self._fixup.name

    def _beside(self, path: bytes) -> bytes:
        joined = posixpath.join(posixpath.dirname(self._path), path)
        return posixpath.normpath(joined)

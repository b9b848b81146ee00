"""Files looked into to any depth: the way in, the limits, and what is kept of what was found."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

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
from graft.fixups.guarded import GUARDED, GUARDED_SIZE
from graft.fixups.search import Recogniser
from graft.kernel import HASH_LENGTH, Hit

if TYPE_CHECKING:
    from graft.fixups.fragments import FragmentFinder
    from graft.kernel import Table


class Siblings(Protocol):
    """The other files of a tree or a container, by their old paths in it."""

    def old(self, path: bytes) -> bytes | None:
        """A file as it was; None if there is none."""
        ...

    def new(self, path: bytes) -> bytes | None:
        """The same as it is now."""
        ...

    def changed(self, path: bytes) -> bool:
        """Whether there is such a file, and it is other bytes now."""
        ...

    def is_signed(self, path: bytes) -> bool:
        """Whether a signature lies beside a file."""
        ...

    def detached(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """The files of a name, old and new, wherever they are."""
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
        """What all of them are now."""
        return [self._at(index) for index in range(len(self._files))]

    def old(self, path: bytes) -> bytes | None:
        """A member as it was."""
        index = self._indices.get(path)
        return None if index is None else self._files[index][1]

    def new(self, path: bytes) -> bytes | None:
        """A member as it is now; as it was, if it is the one that asks."""
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
        switched_on: the names of those that may rewrite.
        table: what is looked for and, where there is a replacement, rewritten.
        limits: how far it is opened.
        fragments: of what is rewritten; None: what compilers have cut up stays.
    """

    def __init__(
        self,
        recognise: Recogniser,
        switched_on: frozenset[str],
        table: Table,
        limits: Limits,
        *,
        fragments: FragmentFinder | None = None,
    ) -> None:
        self.recognise, self.switched_on = recognise, switched_on
        self.table, self.limits = table, limits
        self.fragments = fragments
        self.outcomes: list[FixupOutcome] = []
        self.made: set[bytes] = set()  # hash parts that were put in; another's OLD may be one
        self.allowance = Allowance(limits)
        self.plain = b"", b""  # bytes, and what they become as they stand


def _hash_part(data: bytes, hit: Hit) -> bytes:
    return data[hit.offset : hit.offset + HASH_LENGTH * hit.stride : hit.stride]


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
        self._path = path  # of the file in hand, among the siblings
        self._depth = depth  # of the file in hand: 0 if it is in no container
        self._container = container  # the steps to the file in hand
        self._fixup = fixup  # in charge of it

    def file(self, data: bytes) -> bytes:
        """The file in hand: given to its fix-up, or searched as it stands."""
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
        except Exception as error:  # noqa: BLE001 - a stranger's file may break any parser
            reason = f"it cannot be read: {type(error).__name__}: {error}"
            return self._left_alone(data, fixup, reason)
        if new == data:
            return data
        if self._siblings.is_signed(self._path):
            reason = "its signature is in a file next to it"
            return self._left_alone(data, fixup, reason, plain_without=False)
        if not fixup.opens and new == inside.plain(data):
            return new  # as any file would be: there was nothing to fix
        if fixup.name not in search.switched_on:
            why = f"only --fixup {fixup.name} rewrites it"
            return self._left_alone(data, fixup, why)
        self._outcome(fixup, "rewritten")
        return new

    def _check_rest(self, new: bytes, seen: int) -> None:
        """Looks for what stands in a part of the file that its fix-up has not shown."""
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
            fatal = False  # that is what was asked for
        if plain_without and fixup.plain_without:
            why = f"it is rewritten as it stands: {reason}"
            self._outcome(fixup, "noted", why, fatal=fatal is True)
            return self.plain(data)
        # What was rewritten inside is given up; what was left alone there stays to be told, and
        # does no more harm than the file as a whole.
        outcomes, depth = self._search.outcomes, len(self._container)
        before = [each for each in outcomes if each.container[:depth] != self._container]
        inside = [each for each in outcomes if each.container[:depth] == self._container]
        outcomes[:] = before
        outcomes += [replace(each, fatal=False) for each in inside if each.outcome == "left-alone"]
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

    # ---- what a fix-up sees -------------------------------------------------------------------

    def plain(self, data: bytes, where: Where = "contents") -> bytes:
        """Bytes that are changed as they stand."""
        del where
        known, new = self._search.plain
        if known is not data:
            new, hits, _ = self._search.table.rewrite(data)
            if hits and new != data:
                self._search.made.update(_hash_part(new, hit) for hit in hits)
            else:
                new = data
            self._search.plain = data, new
        return new

    def contents(self, name: bytes, data: bytes) -> bytes:
        """The only file inside."""
        directory = posixpath.dirname(self._path)
        return self._within(self._siblings, posixpath.join(directory, name), self._step(), data)

    def members(self, files: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """All the files inside."""

        def rewritten(siblings: Siblings, path: bytes, data: bytes) -> bytes:
            step = f"{self._step()}:{path.decode('utf-8', 'backslashreplace')}"
            return self._within(siblings, path, step, data)

        return Members(files, rewritten).all()

    def _within(self, siblings: Siblings, path: bytes, step: str, data: bytes) -> bytes:
        inner = FileDescent(
            self._search,
            siblings,
            path=path,
            depth=self._depth + 1,
            container=(*self._container, step),
        )
        return inner.file(data)

    def expanded(self, read: Callable[[int], bytes], compressed: int) -> bytes:
        """What a compressed file expands to, within the limits."""
        return self._search.allowance.expanded(read, compressed)

    def old(self, path: bytes) -> bytes | None:
        """A file beside the one in hand, as it was."""
        return self._siblings.old(self._beside(path))

    def new(self, path: bytes) -> bytes | None:
        """A file beside the one in hand, as it is now."""
        return self._siblings.new(self._beside(path))

    def changed(self, path: bytes) -> bool:
        """Whether a file beside the one in hand is other bytes now."""
        return self._siblings.changed(self._beside(path))

    def detached(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """Files of a name, wherever they are."""
        return self._siblings.detached(name)

    def fragments(self, data: bytes) -> Sequence[tuple[int, bytes]]:
        """What a compiler has cut up, put together anew."""
        if self._search.fragments is None:
            return ()
        found = self._search.fragments.rewrite(data)
        for left in found.left:
            self.note(f"the fragment of a reference at {left.offset} is left alone: {left.reason}")
        return found.patches

    def note(self, text: str) -> None:
        """Keeps what is to be known of the file in hand."""
        assert self._fixup is not None
        self._outcome(self._fixup, "noted", text)

    def _step(self) -> str:
        assert self._fixup is not None
        return self._fixup.name

    def _beside(self, path: bytes) -> bytes:
        joined = posixpath.join(posixpath.dirname(self._path), path)
        return posixpath.normpath(joined)

"""Files looked into to any depth, and nothing changed: a search needs less than a rewrite."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Final, Literal, Protocol

from graft.fixups.allowance import Allowance
from graft.fixups.api import HEAD, Fixup, FixupOutcome, LeftAloneError, LimitError, Limits
from graft.fixups.damage import DAMAGE, damage
from graft.fixups.media import is_media
from graft.fixups.streams import embedded_streams, raw_deflated
from graft.fixups.text import is_text
from graft.kernel.density import is_dense
from graft.kernel.place import Place, Site, Where
from graft.kernel.sieve import DENSE, STANDS, STREAMED, SUSPECTED
from graft.kernel.spelled import SPELLED

if TYPE_CHECKING:
    from graft.kernel import Table

PROGRAMS: Final = ("elf", "pe", "macho")
"""Types of programs: one that is packed is so for the most part."""

PROGRAM_MAGICS: Final = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe")
"""How programs begin, which a sieve calls dense if they are for the most part."""

_PACKED: Final = "it is packed or encrypted in an unknown way"


class Finder(Protocol):
    """The search inside of containers."""

    def sift(self, data: bytes) -> int:
        """The flags of `graft.kernel.sieve` for a file: of all else `find` finds nothing."""
        ...

    def find(self, data: bytes, site: Site) -> Iterable[Place]:
        """All of it in a file, or in a name or a target.

        Args:
            site: where the bytes are.
        """
        ...

    def find_apart(self, data: bytes, site: Site, *, suspected: bool) -> Iterable[Place]:
        """The finds that show only if the file is looked at by itself.

        Args:
            site: where the bytes are.
            suspected: if not, a search of the file that stores it has found no sign of such finds.
        """
        ...


class Recogniser:
    """Finds the fix-up of a file, quickly where it has no fix-up.

    Args:
        fixups: in their order.
    """

    def __init__(self, fixups: Iterable[Fixup]) -> None:
        self._fixups = list(fixups)
        magics = {magic for fixup in self._fixups for magic in fixup.magics}
        first = sorted(re.escape(magic) for at, magic in magics if at == 0)
        self._first = re.compile(b"|".join(first) or b"(?!)", re.DOTALL)
        self._further = sorted((at, magic) for at, magic in magics if at > 0)
        by_name = [fixup for fixup in self._fixups if not fixup.magics]
        self._suffixes = tuple({suffix for fixup in by_name for suffix in fixup.suffixes})
        self._names = frozenset(name for fixup in by_name for name in fixup.names)
        # By the first byte; many of them have few.
        self._beginning = {
            byte: [fixup for fixup in self._fixups if _begins(fixup, byte)]
            for byte in {magic[:1] for at, magic in magics if at == 0}
        }

    def __call__(self, data: bytes, name: bytes) -> Fixup | None:
        """The first fix-up whose type a file is.

        Args:
            data: it, or its first `HEAD` bytes.
            name: its own, without directories.
        """
        candidates = self._fixups
        if (
            not name.endswith(self._suffixes)
            and name not in self._names
            and not any(data.startswith(magic, at) for at, magic in self._further)
        ):
            if not self._first.match(data):
                return None
            candidates = self._beginning[data[:1]]
        head = data[:HEAD]
        return next((fixup for fixup in candidates if fixup.recognises(head, name)), None)


def _begins(fixup: Fixup, byte: bytes) -> bool:
    return any(at == 0 and magic[:1] == byte for at, magic in fixup.magics)


class Look:
    """One file looked into with everything in it.

    Args:
        recognise: tells the fix-up of a file.
        finder: finds the references that are looked for.
        limits: how far it is opened.
        path: its path relative to the top of its tree; empty: it is the top itself.
        known: tells the fix-up of a file of any type. A file of no type is told if it is packed or
            encrypted; None: they are not told.
        changed: finds the hash parts that a graft has written. Files in containers that hold one
            are judged by their types; None: they are not.

    Attributes:
        unknown: the containers of changed members whose types are not known.
        places: the finds in containers.
        outcomes: the outcomes of parts that could not be looked into.
        allowance: the part of the limits that is left.
    """

    def __init__(
        self,
        recognise: Recogniser,
        finder: Finder,
        limits: Limits,
        path: bytes = b"",
        *,
        known: Callable[[bytes, bytes], Fixup | None] | None = None,
        changed: Table | None = None,
    ) -> None:
        self.recognise, self.finder, self.limits = recognise, finder, limits
        self._known, self._changed = known, changed
        self._path = path
        self._sifted: tuple[bytes, int] = b"", 0  # the last bytes, and their flags
        self.unknown: list[tuple[str, ...]] = []
        self.places: list[Place] = []
        self.outcomes: list[FixupOutcome] = []
        self.allowance = Allowance(limits)
        self.within: list[bytes] = []  # the opened files in each other, outermost first

    def file(self, data: bytes, name: bytes) -> None:
        """Searches a file, and looks into it."""
        fixup = self.recognise(data, name)
        if fixup is None or not fixup.opens:
            self.search(data, ())
            self.streams(data, (), typed=fixup is not None, name=name)
        if fixup is not None:
            _Level(self, fixup, (), 1).file(data, name)

    def into(self, fixup: Fixup, data: bytes, name: bytes, *, apart: bool) -> None:
        """Looks into a file whose bytes have been searched as they stand.

        Args:
            fixup: whose file it is.
            apart: whether there may be something in the files that are stored in it.
        """
        _Level(self, fixup, (), 1, searched=True, apart=apart).file(data, name)

    def search(self, data: bytes, steps: tuple[str, ...], where: Where = "contents") -> None:
        """Searches bytes of a file in it.

        Args:
            steps: the container of the finds.
        """
        if self._flags(data) & (STANDS | SUSPECTED):
            self.places += self.finder.find(data, Site(self._path, where, steps))

    def _flags(self, data: bytes) -> int:
        """The flags of some bytes, which several questions are asked of one after another."""
        sifted, flags = self._sifted
        if sifted is not data:
            flags = self.finder.sift(data)
            self._sifted = data, flags
        return flags

    def streams(
        self,
        data: bytes,
        steps: tuple[str, ...],
        *,
        typed: bool,
        name: bytes = b"",
        depth: int = 1,
        flags: int | None = None,
    ) -> list[bytes]:
        """Looks into the streams at any offset of a file that no fix-up opens.

        Args:
            steps: the container that the file is.
            typed: a fix-up knows the type of the file: a stream that begins at its first byte is
                told.
            name: the name of the file, without directories.
            depth: the depth of the files in the file.
            flags: the flags of the file, if they are known.

        Returns:
            The pieces of the file outside of the streams; the whole file if it is too deep.
        """
        if depth > self.limits.depth:
            return [data]
        if flags is None:
            flags = self._flags(data)
        told = len(self.outcomes)
        opened: list[range] = []
        for stream in embedded_streams(data, self.allowance) if flags & STREAMED else ():
            inner = (*steps, stream.step)
            opened.append(range(stream.start, stream.end))
            if stream.reason is not None and not (typed and stream.start == 0):
                self.outcomes.append(
                    FixupOutcome(
                        container=steps,
                        fixup=stream.kind,
                        outcome="left-alone",
                        reason=stream.reason,
                    )
                )
            if not stream.contents:
                continue
            # A spelled text may end in other text: its streams are found one by one.
            spelled = stream.kind in SPELLED
            fixup = None if spelled else self.recognise(stream.contents, b"")
            if fixup is None or not fixup.opens:
                self.search(stream.contents, inner)
                self.streams(stream.contents, inner, typed=fixup is not None, depth=depth + 1)
            if fixup is not None:
                _Level(self, fixup, inner, depth + 1).file(stream.contents, b"")
        # A piece of a text that spells a picture has not the picture's head.
        piece = bool(steps) and steps[-1].partition("@")[0] in SPELLED
        rest = _outside(data, opened)
        if len(self.outcomes) > told or piece or not self._is_packed(data, name, rest, flags):
            return rest
        contents = None if opened else raw_deflated(data, self.allowance)
        if contents is not None:
            inner = (*steps, "deflate")
            self.search(contents, inner)
            self.streams(contents, inner, typed=False, depth=depth + 1)
        else:
            self.outcomes.append(
                FixupOutcome(container=steps, fixup="packed", outcome="left-alone", reason=_PACKED)
            )
        return rest

    def _is_packed(self, data: bytes, name: bytes, rest: Sequence[bytes], flags: int) -> bool:
        """Whether a file is packed, apart from its streams that were opened."""
        if self._known is None:
            return False
        # Most files are not dense, and a type takes longer to tell.
        begins = data.startswith(PROGRAM_MAGICS)
        if not (flags & DENSE or (begins and is_dense(data))):
            return False
        fixup = self._known(data, name)
        program = fixup is not None and fixup.name in PROGRAMS
        if fixup is not None and not program:
            return False
        if not (flags & DENSE if program == begins else is_dense(data, mostly=program)):
            return False
        if is_media(data[:HEAD]):
            return False
        if program:
            return is_dense(b"".join(rest), mostly=True)
        return any(is_dense(piece) for piece in rest)

    def judge(self, data: bytes, name: bytes, steps: tuple[str, ...]) -> None:
        """Notes a member that was changed if its type is not known."""
        if self._changed is None or not self._changed.find(data)[0]:
            return
        known = self._known is not None and self._known(data[:HEAD], name) is not None
        if not known and not is_text(data):
            self.unknown.append(steps)

    def search_apart(self, data: bytes, steps: tuple[str, ...], *, suspected: bool) -> None:
        """Searches a file for finds that show only there: see `Finder.find_apart`."""
        site = Site(self._path, "contents", steps)
        self.places += self.finder.find_apart(data, site, suspected=suspected)


def _outside(data: bytes, ranges: Sequence[range]) -> list[bytes]:
    """The pieces of some bytes outside of the ranges, which are in order."""
    if not ranges:
        return [data]
    starts = [0, *(each.stop for each in ranges)]
    stops = [*(each.start for each in ranges), len(data)]
    return [data[start:stop] for start, stop in zip(starts, stops, strict=True)]


class _Level:
    """A current file and its fix-up; the `Inside` of the fix-up."""

    def __init__(
        self,
        look: Look,
        fixup: Fixup,
        container: tuple[str, ...],
        depth: int,
        *,
        searched: bool = False,
        apart: bool = True,
    ) -> None:
        self._look, self._fixup = look, fixup
        self._container = container  # the steps to the current file
        self._depth = depth  # the depth of the files in it
        self._searched = searched  # the current file, as it stands
        self._places = 0  # found before the current file
        self._apart = apart

    def file(self, data: bytes, name: bytes) -> None:
        limits = self._look.limits
        if self._fixup.opens and self._depth > limits.depth:
            self._left_alone(data, f"it is nested deeper than {limits.depth} containers")
            return
        if data in self._look.within:
            return  # a file that unpacks to itself: all of it has been searched
        self._places = len(self._look.places)
        before = self._places, len(self._look.outcomes)
        self._look.within.append(data)
        try:
            self._fixup.apply(data, name, self)
        except LimitError as error:
            self._left_alone(data, str(error), limited=True)
        except LeftAloneError as error:
            self._left_alone(data, str(error))
        except DAMAGE as error:
            reason = f"it cannot be read: {type(error).__name__}: {damage(error)}"
            self._left_alone(data, reason)
        else:
            if (len(self._look.places), len(self._look.outcomes)) == before:
                self._search_rest(data)
        finally:
            del self._look.within[-1]

    def _search_rest(self, data: bytes) -> None:
        """Looks for references in a part of the file that its fix-up has not shown."""
        if self._fixup.opens and not self._searched:
            self._look.search(data, self._container)

    def _left_alone(self, data: bytes, reason: str, *, limited: bool = False) -> None:
        look = self._look
        told = len(look.outcomes)
        self._outcome("left-alone", reason)
        if self._fixup.opens and len(look.places) == self._places:
            rest = look.streams(data, self._container, typed=True, depth=self._depth)
            # The members of such an archive stand in the open, or each in a stream of its own.
            whole = not limited and (self._fixup.stores or self._fixup.name == "zip")
            if whole and len(look.outcomes) == told + 1 and not any(map(is_dense, rest)):
                del look.outcomes[told:]
        self._search_rest(data)

    def _outcome(self, outcome: Literal["left-alone", "noted"], reason: str) -> None:
        self._look.outcomes.append(
            FixupOutcome(
                container=self._container,
                fixup=self._fixup.name,
                outcome=outcome,
                reason=reason,
            )
        )

    # ---- the view of a fix-up -----------------------------------------------------------------

    def plain(self, data: bytes, where: Where = "contents") -> bytes:
        """The unchanged bytes of the current file, searched in the open."""
        if self._fixup.opens and not self._searched:
            steps = (*self._container, self._fixup.name)
            self._look.search(data, steps, where)
        return data

    def contents(self, name: bytes, data: bytes) -> bytes:
        """The only file inside."""
        self._within(self._fixup.name, data, name.rpartition(b"/")[2], stored=False)
        return data

    def members(self, files: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """All the files inside."""
        for path, data in files:
            step = f"{self._fixup.name}:{path.decode('utf-8', 'backslashreplace')}"
            self._within(step, data, path.rpartition(b"/")[2], stored=self._fixup.stores)
        return [data for _, data in files]

    def _within(self, step: str, data: bytes, name: bytes, *, stored: bool) -> None:
        look = self._look
        steps = (*self._container, step)
        fixup = look.recognise(data, name)
        if fixup is None or not fixup.opens:
            look.judge(data, name, steps)
            if not (stored and self._searched):
                look.search(data, steps)
            else:
                look.search_apart(data, steps, suspected=self._apart)
            look.streams(data, steps, typed=fixup is not None, name=name, depth=self._depth + 1)
        if fixup is not None and (not fixup.packs or fixup.is_packed(BytesIO(data))):
            seen = stored and self._searched
            apart = self._apart or not seen
            inner = _Level(look, fixup, steps, self._depth + 1, searched=seen, apart=apart)
            inner.file(data, name)

    def expanded(self, read: Callable[[int], bytes], compressed: int) -> bytes:
        """The expanded contents of a compressed file, within the limits."""
        return self._look.allowance.expanded(read, compressed)

    def old(self, path: bytes) -> bytes | None:
        """No sibling of the current file: a search changes nothing, and asks for no file."""
        del path
        return None

    def new(self, path: bytes) -> bytes | None:
        """As `old`."""
        del path
        return None

    def changed(self, path: bytes) -> bool:
        """As `old`."""
        del path
        return False

    def detached(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """As `old`."""
        del name
        return []

    def fragments(self, data: bytes) -> Sequence[tuple[int, bytes]]:
        """Nothing is written."""
        del data
        return ()

    def note(self, text: str) -> None:
        """Records a part of the current file that cannot be read."""
        self._outcome("noted", text)

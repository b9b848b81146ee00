"""Files looked into to any depth, and nothing changed: who only looks needs less than a rewrite."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import Literal, NamedTuple, Protocol

from graft.fixups.allowance import Allowance
from graft.fixups.api import HEAD, Fixup, FixupOutcome, LeftAloneError, Limits, Place, Where


class Stood(NamedTuple):
    """Something that was found in some bytes.

    Attributes:
        offset: of its first byte.
        encoding: what it is written in.
        index: of what it is.
        stride: bytes a character, if it stands there as it is; else 0.
    """

    offset: int
    encoding: str
    index: int  # type: ignore[assignment]  # not the method of tuples
    stride: int


class Finder(Protocol):
    """What is looked for inside of containers."""

    def find(self, data: bytes) -> Iterable[Stood]:
        """All of it in a file, or in a name or a target."""
        ...

    def find_apart(self, data: bytes, *, suspected: bool) -> Iterable[Stood]:
        """What is found in a file only if it is looked at by itself.

        Args:
            suspected: else a search of what it is stored in has found no sign of that.
        """
        ...


class Recogniser:
    """Finds the fix-up of a file, quickly where it has none.

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
        finder: what is looked for.
        limits: how far it is opened.

    Attributes:
        places: what was found in containers.
        outcomes: what could not be looked into.
        allowance: what of it is left.
    """

    def __init__(self, recognise: Recogniser, finder: Finder, limits: Limits) -> None:
        self.recognise, self.finder, self.limits = recognise, finder, limits
        self.places: list[Place] = []
        self.outcomes: list[FixupOutcome] = []
        self.allowance = Allowance(limits)

    def file(self, data: bytes, name: bytes) -> None:
        """Searches a file, and looks into it."""
        fixup = self.recognise(data, name)
        if fixup is None or not fixup.opens:
            self.found((), "contents", self.finder.find(data))
        if fixup is not None:
            _Level(self, fixup, (), 1).file(data, name)

    def into(self, fixup: Fixup, data: bytes, name: bytes, *, apart: bool) -> None:
        """Looks into a file whose bytes have been searched as they stand.

        Args:
            fixup: whose file it is.
            apart: whether there may be something in the files that are stored in it.
        """
        _Level(self, fixup, (), 1, searched=True, apart=apart).file(data, name)

    def found(self, steps: tuple[str, ...], where: Where, stood: Iterable[Stood]) -> None:
        """Notes places."""
        self.places += [
            Place(
                container=steps,
                where=where,
                offset=each.offset,
                index=each.index,
                stride=each.stride,
                encoding=each.encoding,
            )
            for each in stood
        ]


class _Level:
    """A file in hand and its fix-up; the `Inside` of that."""

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
        self._container = container  # the steps to the file in hand
        self._depth = depth  # of what is in it
        self._searched = searched  # the file in hand, as it stands
        self._apart = apart

    def file(self, data: bytes, name: bytes) -> None:
        limits = self._look.limits
        if self._fixup.opens and self._depth > limits.depth:
            self._left_alone(data, f"it is nested deeper than {limits.depth} containers")
            return
        before = len(self._look.places), len(self._look.outcomes)
        try:
            self._fixup.apply(data, name, self)
        except LeftAloneError as error:
            self._left_alone(data, str(error))
        except Exception as error:  # noqa: BLE001 - a stranger's file may break any parser
            self._left_alone(data, f"it cannot be read: {type(error).__name__}: {error}")
        else:
            if (len(self._look.places), len(self._look.outcomes)) == before:
                self._search_rest(data)

    def _search_rest(self, data: bytes) -> None:
        """Looks for what stands in a part of the file that its fix-up has not shown."""
        if self._fixup.opens and not self._searched:
            self._look.found(self._container, "contents", self._look.finder.find(data))

    def _left_alone(self, data: bytes, reason: str) -> None:
        self._outcome("left-alone", reason)
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

    # ---- what a fix-up sees -------------------------------------------------------------------

    def plain(self, data: bytes, where: Where = "contents") -> bytes:
        """Bytes of the file in hand as it stands."""
        if self._fixup.opens and not self._searched:
            steps = (*self._container, self._fixup.name)
            self._look.found(steps, where, self._look.finder.find(data))
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
            if not (stored and self._searched):
                look.found(steps, "contents", look.finder.find(data))
            else:
                alone = look.finder.find_apart(data, suspected=self._apart)
                look.found(steps, "contents", alone)
        if fixup is not None and (not fixup.packs or fixup.is_packed(BytesIO(data))):
            seen = stored and self._searched
            apart = self._apart or not seen
            inner = _Level(look, fixup, steps, self._depth + 1, searched=seen, apart=apart)
            inner.file(data, name)

    def expanded(self, read: Callable[[int], bytes], compressed: int) -> bytes:
        """What a compressed file expands to, within the limits."""
        return self._look.allowance.expanded(read, compressed)

    def old(self, path: bytes) -> bytes | None:
        """No file beside the one in hand: where nothing is changed, none is asked for."""
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
        """What cannot be read of the file in hand."""
        self._outcome("noted", text)

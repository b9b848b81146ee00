"""One store path's fragments in one ELF file: its pieces, by function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from graft.fixups.fragments import x86
from graft.fixups.fragments.loads import Loads
from graft.fixups.fragments.text import HASH_LENGTH, WINDOW, Part, PathText
from graft.formats.elf.sections import I386, X86_64, ElfSections, Image

_UNKNOWN: Final = 8
"""How many bytes are compared with the path's where it is not known how many are loaded."""


class Run(NamedTuple):
    """Characters of a hash part that stand in a file in a row.

    Attributes:
        offset: of the first of them in the file, bytes.
        at: which of the 32 that is.
        size: how many.
    """

    offset: int
    at: int
    size: int


@dataclass(frozen=True, slots=True)
class _Piece:
    offset: int
    part: Part
    constant: bool

    @property
    def end(self) -> int:
        return self.offset + self.part.size


@dataclass(slots=True)
class _Function:
    start: int
    end: int
    pieces: list[_Piece] = field(default_factory=list)
    strays: list[int] = field(default_factory=list)
    loose: list[tuple[int, int, bool]] = field(default_factory=list)
    reason: str = ""


class FragmentSearch:
    """The functions that hold pieces of one path, and which of them can be rewritten.

    Args:
        data: the file.
        elf: what is known of it.
        text: the path.
        runs: where its characters stand; whole hash parts among them.
        loads: what the file's functions load.
    """

    def __init__(
        self, data: Image, elf: ElfSections, text: PathText, runs: Iterable[Run], loads: Loads
    ) -> None:
        self._data = data
        self._elf = elf
        self._text = text
        self._loads = loads
        runs = list(runs)
        self._whole = [run for run in runs if run.size >= HASH_LENGTH]
        # Constants that happen to lie side by side may make up a hash part whose name is elsewhere.
        self._nameless = [run for run in self._whole if text.renamed and not self._named(run)]
        self._parts = [run for run in runs if run.size < HASH_LENGTH]
        self._functions: dict[tuple[int, int], _Function] = {}
        self._users: dict[tuple[int, int], set[tuple[int, int]]] = {}
        self._held: list[Run] = []
        if elf.machine in {X86_64, I386}:
            self._collect()
            self._judge()

    def places(self) -> Iterator[tuple[int, str]]:
        """The first character of every fragment, and why it cannot be rewritten if it cannot."""
        told: set[int] = set()
        for function in self._functions.values():
            own = [
                piece
                for piece in function.pieces
                if function.reason or not self._replaced_whole(piece)
            ]
            if own:
                first = min(own, key=lambda piece: (abs(piece.part.at), piece.offset))
                yield first.offset + max(0, -first.part.at), function.reason
            told.update(at for piece in own for at in range(piece.offset, piece.end))
        for run in self._parts:
            if run.offset not in told:
                yield run.offset, "no function is known to use it"

    def patches(self) -> dict[int, bytes]:
        """The bytes to write, by their offset in the file."""
        if self._text.new is None:
            return {}
        patches: dict[int, bytes] = {}
        for run in self._held:
            patches[run.offset] = self._data[run.offset : run.offset + self._replaced_size(run)]
        for function in self._functions.values():
            for piece in function.pieces if not function.reason else ():
                old = self._data[piece.offset : piece.end]
                patches[piece.offset] = self._text.replaced(piece.part, old)
        return patches

    # ---- pieces ----------------------------------------------------------------------------------

    def _collect(self) -> None:
        """All functions that hold a piece, or share a constant with one that does."""
        waiting: set[tuple[int, int]] = set()
        constants: set[tuple[int, int]] = set()
        for run in (*self._parts, *self._nameless):
            # Some linkers put constants beside the code.
            if self._is_operand(run.offset):
                waiting.add(self._elf.function(run.offset))
            constants.add((run.offset, run.offset + run.size))
        if self._text.new is not None:
            # For these to be whole may be chance: constants that lie side by side.
            whole = [(run.offset, run.offset + HASH_LENGTH) for run in self._whole]
            waiting.update(self._loads.of(whole))
        while waiting or constants:
            for span, users in self._loads.users(constants).items():
                self._users[span] = users
                waiting |= users
            constants = set()
            for span in waiting - self._functions.keys():
                function = self._functions[span] = self._read(*span)
                for piece in function.pieces:
                    if piece.constant and not self._replaced_whole(piece):
                        constants.add((piece.offset, piece.end))
            waiting = set()
            constants -= self._users.keys()

    def _read(self, start: int, end: int) -> _Function:
        """The pieces in a function and in the constants that it loads."""
        function = _Function(start, end)
        code = self._data[start : end + 8]
        taken: set[int] = set()
        size = end - start
        if self._elf.machine == X86_64:
            for at in x86.immediates64(code):
                self._add(function, start + at, 8)
            function.pieces = [piece for piece in function.pieces if piece.offset < end]
            taken = {
                at - start for piece in function.pieces for at in range(piece.offset, piece.end)
            }
            self._add_constants(function)
        windows = [at for at in self._text.windows_in(code, size) if at not in taken]
        for at in windows:
            if x86.immediate_size(code, at) == 4 and self._add(function, start + at, 4):
                taken.update(range(at, at + 4))
        function.strays += [start + at for at in windows if taken.isdisjoint(range(at, at + 4))]
        self._without_loose_names(function)
        taken.update(
            at - start for piece in function.pieces for at in range(piece.offset, piece.end)
        )
        function.loose += [
            (start + at, length, False)
            for at, length in self._loose_ends(code[:size])
            if at not in taken
        ]
        self._take_loose_ends(function)
        return function

    def _loose_ends(self, code: bytes) -> Iterator[tuple[int, int]]:
        """Immediates that may hold the name's last few characters, and their sizes."""
        for tail in self._text.tails:
            for match in tail.finditer(code):
                size = x86.immediate_size(code, match.start())
                if size:
                    yield match.start(), size

    def _take_loose_ends(self, function: _Function) -> None:
        """Takes a possible end of the name for one where that is beyond doubt.

        What follows it there is what follows the name in another piece. Or the path lacks just
        these characters, and nothing else in the function could be them.
        """
        end = len(self._text.base)
        suffixes = {
            self._data[piece.offset + end - piece.part.at : piece.end]
            for piece in function.pieces
            if not piece.part.bare and piece.part.at + piece.part.size > end
        }
        ends = [piece.part.at + piece.part.size for piece in function.pieces]
        if any(end - WINDOW < one <= end for one in ends):
            suffixes.add(b"/")  # what a path goes on with
        for offset, size, constant in function.loose:
            piece = self._data[offset : offset + size]
            part = self._text.end_part(piece, suffixes)
            if part is None and not constant and len(function.loose) == 1:
                missing = end - max(ends, default=end)
                if 0 < missing < WINDOW and piece.startswith(self._text.base[-missing:]):
                    part = Part(end - missing, missing, missing, bare=False)
            if part is None:
                function.strays.append(offset)
            else:
                function.pieces.append(_Piece(offset, part, constant))

    def _without_loose_names(self, function: _Function) -> None:
        """Leaves out pieces of the name that no other piece leads to: another text's."""
        pieces = [piece for piece in function.pieces if piece.part.at < HASH_LENGTH]
        end = max((piece.part.at + piece.part.size for piece in pieces), default=0)
        names = [piece for piece in function.pieces if piece.part.at >= HASH_LENGTH]
        for piece in sorted(names, key=lambda piece: piece.part.at):
            if piece.part.at <= end:
                pieces.append(piece)
                end = max(end, piece.part.at + piece.part.size)
        function.pieces = pieces

    def _add_constants(self, function: _Function) -> None:
        for offset, size in self._loads.in_function(function.start, function.end):
            if self._add(function, offset, size or _UNKNOWN, constant=True):
                if not size and not self._replaced_whole(function.pieces.pop()):
                    function.strays.append(offset)
            elif size and any(tail.match(self._data, offset) for tail in self._text.tails):
                function.loose.append((offset, size, True))

    def _is_operand(self, offset: int) -> bool:
        """Whether code has these bytes in an instruction."""
        segment = self._elf.segment(offset)
        if segment is None or not segment.executable:
            return False
        start = max(segment.offset, offset - 8)
        size = x86.immediate_size(self._data[start : offset + 8], offset - start)
        return size == (4 if self._elf.machine == I386 else 8)

    def _add(self, function: _Function, offset: int, size: int, *, constant: bool = False) -> bool:
        piece = self._data[offset : offset + size]
        part = self._text.part(piece)
        if part is None and self._text.renamed:
            part = self._text.name_part(piece)
        if part is not None:
            function.pieces.append(_Piece(offset, part, constant))
        return part is not None

    def _named(self, run: Run) -> bool:
        end = run.offset + len(self._text.base)
        return self._data[run.offset : end] == self._text.base

    def _replaced_size(self, run: Run) -> int:
        """The bytes that are replaced with a whole hash part."""
        return len(self._text.base) if self._named(run) else HASH_LENGTH

    def _replaced_whole(self, piece: _Piece) -> bool:
        """Whether all of a piece is in a whole path: then it is replaced with that."""
        end = self._covered(piece).stop
        return any(
            piece.offset - piece.part.at == run.offset and end <= self._replaced_size(run)
            for run in self._whole
        )

    # ---- judgement -------------------------------------------------------------------------------

    def _judge(self) -> None:
        for function in self._functions.values():
            function.reason = self._fault(function)
        changed = True
        while changed:
            changed = False
            self._held = self._runs_held()
            for function in self._functions.values():
                if not function.reason and self._shared_with_unexplained(function):
                    function.reason = "a function that shares a constant with it is not whole"
                    changed = True

    def _runs_held(self) -> list[Run]:
        """Whole hash parts that are constants of functions that cannot be rewritten.

        They keep OLD's characters: a path half of which is NEW's leads nowhere.
        """
        kept = [
            piece
            for function in self._functions.values()
            if function.reason
            for piece in function.pieces
            if piece.constant
        ]
        return [run for run in self._whole if any(self._meet(run, piece) for piece in kept)]

    def _meet(self, run: Run, piece: _Piece) -> bool:
        return piece.offset < run.offset + self._replaced_size(run) and run.offset < piece.end

    def _fault(self, function: _Function) -> str:
        if function.strays:
            return f"the bytes at {function.strays[0]} are no operand that is known"
        covered = {at for piece in function.pieces for at in self._covered(piece)}
        # A name of four characters and more cannot follow unseen: its pieces would be known.
        named = any(at >= HASH_LENGTH for at in covered) or len(self._text.base) < HASH_LENGTH + 4
        needed = self._text.needed if named else frozenset(range(HASH_LENGTH))
        missing = sorted(needed - covered)
        if missing:
            return f"the path's character {missing[0] + 1} is missing from its pieces"
        return ""

    def _covered(self, piece: _Piece) -> range:
        return self._text.covered(piece.part)

    def _shared_with_unexplained(self, function: _Function) -> bool:
        for piece in function.pieces:
            if not piece.constant:
                continue
            if any(self._meet(run, piece) for run in self._held):
                return True
            if self._replaced_whole(piece):
                continue
            for user in self._users.get((piece.offset, piece.end), ()):
                other = self._functions.get(user)
                loads = other and any(one.offset == piece.offset for one in other.pieces)
                if other is None or other.reason or not loads:
                    return True
        return False

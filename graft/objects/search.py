"""All that leads to some paths in an object: as it stands, cut up, spelled otherwise, packed.

A walk over the tree tells in one pass which hash parts stand in the plain bytes, and where there
may be more: `DeepSearch` has the patterns of this walk. Only files with something in them, and
containers, are read again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Final

from graft.errors import TreeError
from graft.fixups import HEAD, Fixup, FixupOutcome, Look, Registry, registered
from graft.fixups.api import BrokenFixupError
from graft.fixups.bitcode import BITCODE
from graft.fixups.fragments import FragmentFinder, Seed
from graft.fixups.search import PROGRAM_MAGICS
from graft.formats.file_name import printable
from graft.formats.store_path import StoreDir, StorePath
from graft.kernel import Table
from graft.kernel.anchors import WORD
from graft.kernel.density import is_dense
from graft.kernel.place import FRAGMENT, Place, Site, Where
from graft.kernel.sieve import DENSE, STREAMED, SUSPECTED, make_sieve
from graft.kernel.streams import find_streams
from graft.kernel.tree import Suspicion, TreeReport
from graft.objects.checksums import ChangedFile, ChecksumFinder
from graft.objects.file_fixups import broken_fixup
from graft.objects.references import WantedPaths
from graft.objects.spellings import SpellingFinder
from graft.objects.spellings.bits import BitFinder
from graft.objects.spellings.whole import FRONT_CODED

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_ELF_HEAD: Final = 20
_MANIFEST: Final = b"Manifest-Version:"  # of a jar
_FOLD: Final = re.compile(rb"\r?\n ")
_WINDOW: Final = 1 << 20
_IN_MEMORY: Final = 16 << 20  # of a file that passes and may have to be looked into

# Where fragments are looked for: programs, and archives of the object files that programs are
# linked from.
_CODE: Final = (b"\x7fELF", b"!<arch>\n")

# Files that are read whole once their bytes have passed.
_READ_WHOLE: Final = (*_CODE, *BITCODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A file that may hold references which cannot be seen.

    Attributes:
        file: relative to the tree's top.
        container: the steps to it, as in a Place.
        fixup: the name of its type.
        reason: why.
    """

    file: bytes
    container: tuple[str, ...]
    fixup: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SumPlace(Place):
    """A place where a digest of a changed file's old contents stands; it has no hash part.

    Attributes:
        of: the name of the changed file.
    """

    hash_part: str = ""
    of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepReport:
    """The result of searching an object.

    Attributes:
        report: the walk's report: the hash parts in the plain bytes.
        hidden: places that no search of the bytes for the hash part sees: in containers, cut up,
            spelled otherwise.
        unread: the files that could not be looked into.
        sums: places of old digests of changed files.
    """

    report: TreeReport
    hidden: tuple[Place, ...]
    unread: tuple[Unread, ...]
    unknown: tuple[bytes, ...] = ()
    sums: tuple[SumPlace, ...] = ()


class DeepSearch:
    """The search for paths; made once and used by all threads. It may be pickled.

    Args:
        paths: whose hash parts are looked for.
        hash_parts: more of them, of unknown paths.
        registry: the fix-ups by which containers are opened; None: the usual registry.
        store_dir: the directory that stands before hash parts in fragments; None: `/nix/store`.
        sums: the changed files whose old digests are looked for besides; a pickle loses them.

    Attributes:
        standing: the paths, as they stand.
        hash_parts: all of them, by the indices of `table`.
        table: the same as they stand, for a walk; as its `wanted`.
        marks: the marks of the files that are looked into, for a walk.
        suspicions: the suspicions of all else, for a walk.
    """

    def __init__(
        self,
        paths: Iterable[StorePath],
        hash_parts: Iterable[str] = (),
        *,
        registry: Registry | None = None,
        store_dir: StoreDir | None = None,
        sums: Sequence[ChangedFile] = (),
    ) -> None:
        self._summed = tuple(sums)
        self._sums = ChecksumFinder(self._summed) if sums else None
        self._store_dir = StoreDir("/nix/store") if store_dir is None else store_dir
        self.standing = WantedPaths(paths)
        self._paths = {path.hash_part: path for path in self.standing.paths}
        self.hash_parts = tuple(dict.fromkeys([*self._paths, *hash_parts]))
        encoded = [hash_part.encode() for hash_part in self.hash_parts]
        self.table = Table([(hash_part, None) for hash_part in encoded])
        self._spellings = SpellingFinder(encoded)
        self._bits = BitFinder(encoded)
        self._fragments = FragmentFinder(
            ((hash_part, None) for hash_part in encoded), os.fsencode(str(self._store_dir))
        )
        registry = registered() if registry is None else registry
        self._limits = registry.limits
        self._recognise, self._type = registry.recogniser, registry.recognise
        self.marks = registry.searched_marks
        self.suspicions = (
            Suspicion(self._spellings.anchors),
            Suspicion(self._fragments.anchors, _CODE),
            Suspicion(None),  # streams
            Suspicion(None, PROGRAM_MAGICS, density=True),
            *(map(Suspicion, self._sums.anchors) if self._sums is not None else ()),
        )
        self._sieve = make_sieve(self.table, self.suspicions)

    def __reduce__(self) -> tuple[object, ...]:
        return _remade, (type(self), self.standing.paths, self.hash_parts, self._store_dir)

    @property
    def paths(self) -> tuple[StorePath, ...]:
        """The paths that are looked for."""
        return self.standing.paths

    def seen(self, found: DeepReport) -> frozenset[StorePath]:
        """The paths that were found in an object in any form."""
        return self._known(found, found.hidden)

    def referred(self, found: DeepReport) -> frozenset[StorePath]:
        """The found paths that a rewrite may replace: all but paths in other spellings only."""
        return self._known(found, (each for each in found.hidden if not each.is_spelled))

    def _known(self, found: DeepReport, hidden: Iterable[Place]) -> frozenset[StorePath]:
        standing = {self.hash_parts[index] for index in found.report.seen}
        seen = standing.union(each.hash_part for each in hidden)
        return frozenset(self._paths[hash_part] for hash_part in seen & self._paths.keys())

    def in_tree(
        self, top: str | bytes, report: TreeReport, changed: Table | None = None
    ) -> Findings:
        """The hidden references in a tree.

        Args:
            top: the tree's top, in its present state.
            report: the report of a walk over it that had `table`, `marks` and `suspicions`, and
                rewrote nothing.
            changed: finds hash parts that a graft has written: files in containers with one are
                judged by their types.

        Raises:
            TreeError: a file cannot be read.
        """
        findings = Findings(self, changed)
        top = os.fsencode(top)
        suspected = {suspect.file for suspect in report.suspects if suspect.where == "contents"}
        flags = dict.fromkeys(report.streamed, STREAMED)
        for file in report.dense:
            flags[file] = flags.get(file, 0) | DENSE
        for file in sorted({*report.marked, *suspected, *flags}):
            findings.file(top, file, suspected=file in suspected, flags=flags.get(file, 0))
        for suspect in report.suspects:
            place = os.path.join(top, suspect.file) if suspect.file else top
            if suspect.where == "name":
                findings.text(suspect.file, "name", os.path.basename(place))
            elif suspect.where == "target":
                findings.text(suspect.file, "target", os.readlink(place))
        return findings

    # ---- the parts of findings ----------------------------------------------------------------

    def find(self, data: bytes, site: Site) -> Iterator[Place]:
        """All of it in a whole file, or in a name or a target."""
        yield from site.places(self.table, data)
        yield from self.find_spelled(data, site)
        yield from self.find_sums(data, site)
        yield from self.find_apart(data, site, suspected=True)

    def sift(self, data: bytes) -> int:
        """The flags of a file: whether anything of a kind may be in it."""
        flags = self._sieve.find(data)
        if data.startswith(_MANIFEST) or self.has_short_pieces(data[:_ELF_HEAD]):
            flags |= SUSPECTED
        return flags

    def find_spelled(self, data: bytes, site: Site) -> Iterator[Place]:
        """The paths in other spellings in any bytes."""
        for found in self._spellings.find(data):
            yield site.place(found.offset, found.encoding, self.hash_parts[found.index])

    def find_sums(self, data: bytes, site: Site, base: int = 0) -> Iterator[Place]:
        """The old digests of changed files in any bytes.

        Args:
            base: the offset of the first byte.
        """
        if self._sums is None:
            return
        if data.startswith(_MANIFEST):  # whose lines are folded: a long digest is
            data = _FOLD.sub(b"", data)
        for found in self._sums.find(data):
            yield SumPlace(
                file=site.file,
                container=site.container,
                where=site.where,
                offset=base + found.offset,
                encoding=f"{found.algorithm} in {found.spelling}",
                of=self._summed[found.index].name,
            )

    @property
    def longest(self) -> int:
        """Bytes of the longest text that is looked for."""
        sums = self._sums.longest if self._sums is not None else 0
        return max(self._spellings.longest, sums)

    def find_apart(self, data: bytes, site: Site, *, suspected: bool) -> Iterator[Place]:
        """The fragments in a whole file, or the texts in its bits."""
        head = data[:_ELF_HEAD]
        if head.startswith(BITCODE):
            for offset, index, packing in self._bits.find(data):
                yield site.place(offset, packing, self.hash_parts[index])
        if self._fragments.is_elf(head) if suspected else self.has_short_pieces(head):
            for found in self._fragments.find(data):
                yield site.place(found.offset, FRAGMENT, self.hash_parts[found.index])

    def has_short_pieces(self, head: bytes) -> bool:
        """Whether a file may hold references of which no word tells, as in bits."""
        return head.startswith(BITCODE) or self._fragments.is_promising(head, ())

    def look(self, file: bytes, changed: Table | None = None) -> Look:
        """The way into one file's containers.

        Args:
            changed: as for `in_tree`.
        """
        return Look(self._recognise, self, self._limits, file, known=self._type, changed=changed)

    def recognise(self, head: bytes, name: bytes) -> Fixup | None:
        """The fix-up of a file that is looked into."""
        return self._recognise(head, name)

    def passing(self, file: bytes, head: bytes) -> _Passing:
        """Searches a file that begins so while it passes, window by window."""
        return _Passing(self, self._spellings, self._fragments, Site(file, "contents"), head)

    def is_too_large(self, size: int) -> str | None:
        """Why a file of a size is not looked into."""
        return f"it is larger than {self._limits.size} bytes" if size > self._limits.size else None


@lru_cache(maxsize=4)  # a process gets as many tasks as there are paths, of the same search
def _remade(
    kind: type[DeepSearch],
    paths: tuple[StorePath, ...],
    hash_parts: tuple[str, ...],
    store_dir: StoreDir,
) -> DeepSearch:
    return kind(paths, hash_parts, store_dir=store_dir)


class _Passing:
    """One file's bytes, searched for paths in other spellings or cut up."""

    def __init__(
        self,
        search: DeepSearch,
        spellings: SpellingFinder,
        fragments: FragmentFinder,
        site: Site,
        head: bytes,
    ) -> None:
        self._search, self._spellings, self._fragments = search, spellings, fragments
        self.site = site
        self._head = head
        self._is_code = head.startswith(_CODE)
        self._passed = 0
        self._carry = b""
        self._seeds: list[Seed] = []
        self._known: set[Place] = set()
        self.found: list[Place] = []  # other spellings in the bytes that have passed

    def more(self, data: bytes) -> None:
        """The bytes that come next."""
        before = len(self._carry)
        base = self._passed - before
        text = self._carry + data if before else data
        for found in self._spellings.find(text):
            # Of the end of a hash part that was carried over, the beginning may be cut off.
            if found.encoding == FRONT_CODED and found.offset + found.size <= before:
                continue
            hash_part = self._search.hash_parts[found.index]
            place = self.site.place(base + found.offset, found.encoding, hash_part)
            if place not in self._known:  # the bytes carried over were searched before
                self._known.add(place)
                self.found.append(place)
        if self._is_code:
            start = max(before - WORD + 1, 0)
            for seed in self._fragments.seeds(memoryview(text)[start:]):
                self._seeds.append(seed._replace(offset=base + start + seed.offset))
        for sum_place in self._search.find_sums(text, self.site, base):
            if sum_place not in self._known:
                self._known.add(sum_place)
                self.found.append(sum_place)
        self._passed += len(data)
        self._carry = text[-(self._search.longest - 1) :]

    @property
    def has_pieces(self) -> bool:
        """Whether parts of a hash part stand in code that has passed."""
        return bool(self._seeds)

    @property
    def is_promising(self) -> bool:
        """Whether there may be fragments in the bytes that have passed."""
        head = self._head
        return head.startswith(BITCODE) or self._fragments.is_promising(head, self._seeds)


class Findings:
    """The hidden references in one object, in the order of the search.

    Args:
        changed: finds hash parts that a graft has written; None: the object is no new one.
    """

    def __init__(self, search: DeepSearch, changed: Table | None = None) -> None:
        self._search, self._changed = search, changed
        self._unknown: list[bytes] = []
        self._hidden: list[Place] = []
        self._unread: list[Unread] = []

    def with_report(self, report: TreeReport) -> DeepReport:
        """All finds, together with the walk's."""
        places = sorted(self._hidden, key=lambda each: (each.file, each.container, each.offset))
        return DeepReport(
            report=report,
            hidden=tuple(each for each in places if not isinstance(each, SumPlace)),
            unread=tuple(self._unread),
            unknown=tuple(self._unknown),
            sums=tuple(each for each in places if isinstance(each, SumPlace)),
        )

    def text(self, file: bytes, where: Where, text: bytes) -> None:
        """Looks through a name or a symlink's target."""
        self._hidden += self._search.find_spelled(text, Site(file, where))

    def file(self, top: bytes, file: bytes, *, suspected: bool, flags: int = 0) -> None:
        """Looks into a file of a tree.

        Args:
            suspected: a word of a suspicion stands in it.
            flags: STREAMED, if a stream may begin in it, and DENSE, if it may be packed.

        Raises:
            TreeError: it cannot be read.
        """
        path = os.path.join(top, file) if file else top
        try:
            with open(path, "rb", buffering=0) as stream:
                head = stream.read(HEAD)
                size = os.fstat(stream.fileno()).st_size
                fixup = self._search.recognise(head, os.path.basename(path))
                if suspected or self._search.has_short_pieces(head):
                    passing = self._search.passing(file, head)
                    window = head
                    while window:
                        passing.more(window)
                        window = stream.read(_WINDOW)
                    self.passed(passing, lambda: _whole(path))
                if fixup is not None:
                    self.into(fixup, file, os.path.basename(path), head, size, stream, suspected)
                if flags and (fixup is None or not fixup.opens):
                    name, typed = os.path.basename(path), fixup is not None
                    self.streams(file, name, size, lambda: _whole(path), typed=typed, flags=flags)
        except OSError as error:
            shown = printable(path)
            raise TreeError(f"'{shown}' cannot be read: {error.strerror}", path=shown) from error

    def passing_file(self, file: bytes, name: bytes, size: int) -> PassingFile:
        """Looks into a file of a NAR, as its bytes pass."""
        return PassingFile(self._search, self, file, name, size)

    def into(
        self,
        fixup: Fixup,
        file: bytes,
        name: bytes,
        head: bytes,
        size: int,
        stream: IO[bytes],
        suspected: bool,
    ) -> None:
        """Looks into a file that is to be.

        Args:
            head: its first bytes.
            size: the whole file's size in bytes.
            stream: it, wherever it is looked at.
            suspected: whether something may be in the files that are stored in it.

        Raises:
            FixupError: a user's own fix-up fails on it.
        """
        if fixup.packs and not fixup.is_packed(stream):
            return
        opened = fixup.opens or fixup.packs
        reason = self._search.is_too_large(size) if opened else None
        if reason is not None:
            self._unread.append(Unread(file=file, container=(), fixup=fixup.name, reason=reason))
            return
        look = self._search.look(file, self._changed)
        stream.seek(0)
        try:
            look.into(fixup, stream.read() if opened else head, name, apart=suspected)
        except BrokenFixupError as error:
            raise broken_fixup(error, file or name) from error
        self._hidden += look.places
        self._unread += [self._not_read(file, outcome) for outcome in look.outcomes]
        self._unknown += [file] if look.unknown else []

    def streams(
        self,
        file: bytes,
        name: bytes,
        size: int,
        whole: Callable[[], bytes],
        *,
        typed: bool,
        flags: int | None = None,
    ) -> None:
        """Looks into the streams in a file that no fix-up opens, and tells whether it is packed.

        Args:
            name: the file's name, without directories.
            size: the file's size in bytes.
            whole: reads it.
            typed: a fix-up knows its type.
            flags: as for `file`; None: they are not known.
        """
        reason = self._search.is_too_large(size)
        if reason is not None:
            self._unread.append(Unread(file=file, container=(), fixup="stream", reason=reason))
            return
        look = self._search.look(file, self._changed)
        look.streams(whole(), (), typed=typed, name=name, flags=flags)
        self._hidden += look.places
        self._unread += [self._not_read(file, outcome) for outcome in look.outcomes]
        self._unknown += [file] if look.unknown else []

    def passed(self, passing: _Passing, whole: Callable[[], bytes]) -> None:
        """Takes the finds in a file whose bytes have passed."""
        self._hidden += passing.found
        if passing.is_promising:
            self._hidden += self._search.find_apart(whole(), passing.site, suspected=True)

    @staticmethod
    def _not_read(file: bytes, outcome: FixupOutcome) -> Unread:
        return Unread(
            file=file,
            container=outcome.container,
            fixup=outcome.fixup,
            reason=outcome.reason or "",
        )


class PassingFile:
    """A file of a NAR whose bytes pass; contents that may have to be looked into are kept
    meanwhile.
    """

    def __init__(
        self, search: DeepSearch, findings: Findings, file: bytes, name: bytes, size: int
    ) -> None:
        self._search, self._findings = search, findings
        self._file, self._name, self._size = file, name, size
        self._head = b""
        self._fixup: Fixup | None = None
        self._passing: _Passing | None = None
        self._kept: SpooledTemporaryFile[bytes] | None = None
        # Streams are looked for, since no fix-up opens the file; in a large one they are told.
        self._streams = self._large = False

    def more(self, data: Buffer, *, final: bool) -> None:
        """The bytes that come next; with the last ones it is looked into."""
        piece = bytes(data)
        if self._passing is None:
            self._head += piece
            if len(self._head) < HEAD and not final:
                return
            piece = self._head
            self._begin(piece)
        assert self._passing is not None
        self._passing.more(piece)
        if self._kept is not None:
            self._kept.write(piece)
        if self._large and not self._streams and (self._fixup is None or not self._fixup.opens):
            self._streams = bool(find_streams(piece)) or is_dense(piece)
        if final:
            self._end(self._passing)

    def _begin(self, head: bytes) -> None:
        self._passing = self._search.passing(self._file, head)
        self._fixup = self._search.recognise(head, self._name)
        opened = self._fixup is not None and self._fixup.opens
        self._large = self._search.is_too_large(self._size) is not None
        opened = opened and not self._large
        self._streams = not self._large and (self._fixup is None or not self._fixup.opens)
        if opened or self._streams or head.startswith(_READ_WHOLE):
            # A file that comes in one piece is in memory already.
            most = max(_IN_MEMORY, len(head))
            self._kept = SpooledTemporaryFile(most)  # noqa: SIM115 - closed at the file's end

    def _end(self, passing: _Passing) -> None:
        try:
            self._findings.passed(passing, self._whole)
            if self._fixup is not None:
                self._findings.into(
                    self._fixup,
                    self._file,
                    self._name,
                    self._head,
                    self._size,
                    self._kept or BytesIO(self._head),
                    passing.has_pieces,
                )
            if self._streams:
                typed = self._fixup is not None
                self._findings.streams(self._file, self._name, self._size, self._whole, typed=typed)
        finally:
            if self._kept is not None:
                self._kept.close()

    def _whole(self) -> bytes:
        assert self._kept is not None
        self._kept.seek(0)
        return self._kept.read()


def _whole(path: bytes) -> bytes:
    with open(path, "rb", buffering=0) as stream:
        return stream.read()

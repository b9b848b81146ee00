"""Checksums replaced by the checksums of the new files, each after the file it belongs to."""

from __future__ import annotations

import graphlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from graft.errors import TreeError
from graft.formats.file_name import printable
from graft.objects.checksums.finder import ChangedFile, Checksum, ChecksumFinder, digests_of
from graft.objects.file_windows import regular_files, search_file


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksumPlace:
    """A place of a tree where a digest of an old file stands, or stood.

    Attributes:
        file: relative to the tree's top, empty for the top itself.
        offset: the place of its first byte, in bytes.
        algorithm: one of ALGORITHMS, or `crc32`.
        spelling: `hex`, `base64`, `base64url`, `nix32`, `raw` or `sri`;
            `.gnu_debuglink` for a `crc32`.
        of: the file whose digest it is.
        outcome: `replaced`, or why it was left: `reported`, `binary`, `cycle`,
            `length`.
    """

    file: bytes
    offset: int
    algorithm: str
    spelling: str
    of: str
    outcome: str = "reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """The result of the repair of checksums in a tree.

    Attributes:
        places: all places of digests.
        changed: the tree's changed files, files in which only a checksum was replaced among them.
            The files whose checksums were found have their new digests.
        rewritten: the files that were written, relative to the tree's top.
    """

    places: tuple[ChecksumPlace, ...]
    changed: tuple[ChangedFile, ...]
    rewritten: tuple[bytes, ...]


def search_tree(
    tree: str | bytes,
    files: Sequence[ChangedFile],
    *,
    finder: ChecksumFinder | None = None,
    suspected: Iterable[bytes] | None = None,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> Iterator[ChecksumPlace]:
    """Finds old digests in a tree.

    Args:
        files: whose.
        finder: the finder of these files' digests; to be given where many trees are searched.
        suspected: the tree's files in which a walk has seen one of the finder's anchors; None: all
            of them are searched.
        on_bytes: called with the number of bytes read since the last call.

    Raises:
        TreeError: something cannot be read.
    """
    for file, found in _found(tree, finder or ChecksumFinder(files), on_bytes, suspected):
        yield _place(file, found, files[found.index])


def repair_tree(
    tree: str | bytes,
    changed: Mapping[bytes, ChangedFile],
    known: Sequence[ChangedFile] = (),
    *,
    name: str = "",
) -> Repair:
    """Replaces old digests in a tree's text files by new ones.

    A file that is written is a changed file as well, and its digest may be kept elsewhere in the
    tree: files are written in such an order that every digest is the digest of the final contents.
    Files that hold each other's digests, or their own, cannot be ordered, and are left.

    Args:
        tree: the tree that is to be registered, finished but for the repair.
        changed: the tree's files that were changed, relative to its top; their `new` is not used.
        known: changed files of other trees, with their new digests.
        name: the tree's name, for the names of files that change only now.

    Raises:
        TreeError: something cannot be read or written.
    """
    own = dict(changed)
    found: dict[tuple[bytes, int, int], tuple[Checksum, ChangedFile]] = {}
    looked_for: list[ChangedFile] = [*known, *own.values()]
    by_name = {file.name: path for path, file in own.items()}
    top = os.fsencode(tree)
    while looked_for:
        holders = set()
        for file, checksum in _found(tree, ChecksumFinder(looked_for)):
            of = looked_for[checksum.index]
            found[file, checksum.offset, checksum.size] = checksum, of
            holders.add(file)
        fresh = {
            file: ChangedFile(
                name=f"{name}/{printable(file)}".rstrip("/"), old=digests_of(_in(top, file))
            )
            for file in sorted(holders.difference(own))
        }
        own |= fresh
        by_name |= {file.name: path for path, file in fresh.items()}
        looked_for = list(fresh.values())
    held: dict[bytes, list[tuple[Checksum, ChangedFile]]] = {file: [] for file in own}
    for (file, _, _), checksum_of in sorted(found.items(), key=lambda item: item[0]):
        held[file].append(checksum_of)
    order, cyclic = _order(
        {
            file: {by_name[of.name] for _, of in held[file] if of.name in by_name}
            for file in sorted(own)
        }
    )
    summed = {of.name for _, of in found.values()}
    places: list[ChecksumPlace] = []
    rewritten: list[bytes] = []
    for file in [*order, *cyclic]:
        data = _read(_in(top, file)) if held[file] else b""
        left = "cycle" if file in cyclic else "binary" if b"\0" in data else ""
        new = bytearray(data)
        for checksum, of in held[file]:
            target = own[by_name[of.name]].new if of.name in by_name else of.new
            why = left
            if not why and target is not None:
                end = checksum.offset + checksum.size
                text = checksum.respelled(target)
                if len(text) == checksum.size:
                    new[checksum.offset : end] = text
                else:
                    why = "length"
            places.append(_place(file, checksum, of, why or "replaced"))
        if new != data:
            _write(_in(top, file), bytes(new))
            rewritten.append(file)
        if own[file].name in summed:
            own[file] = replace(own[file], new=digests_of(_in(top, file)))
    places.sort(key=lambda place: (place.file, place.offset))
    return Repair(places=tuple(places), changed=tuple(own.values()), rewritten=tuple(rewritten))


def _order(holds: Mapping[bytes, set[bytes]]) -> tuple[list[bytes], list[bytes]]:
    """Files after the files whose digests they hold, and the files without such an order."""
    left = {file: set(others) for file, others in holds.items()}
    cyclic: list[bytes] = []
    while True:
        try:
            return list(graphlib.TopologicalSorter(left).static_order()), sorted(cyclic)
        except graphlib.CycleError as error:
            circle = set(error.args[1])
            cyclic += circle
            left = {file: others - circle for file, others in left.items() if file not in circle}


def _found(
    tree: str | bytes,
    finder: ChecksumFinder,
    on_bytes: Callable[[int], object] = lambda _: None,
    suspected: Iterable[bytes] | None = None,
) -> Iterator[tuple[bytes, Checksum]]:
    """The file and the place in it of every digest in a tree."""
    top = os.fsencode(tree)
    for file in regular_files(tree) if suspected is None else suspected:
        for base, found in search_file(_in(top, file), finder.find, finder.longest, on_bytes):
            yield file, replace(found, offset=base + found.offset)


def _place(
    file: bytes, checksum: Checksum, of: ChangedFile, outcome: str = "reported"
) -> ChecksumPlace:
    return ChecksumPlace(
        file=file,
        offset=checksum.offset,
        algorithm=checksum.algorithm,
        spelling=checksum.spelling,
        of=of.name,
        outcome=outcome,
    )


def _in(top: bytes, file: bytes) -> bytes:
    return os.path.join(top, file) if file else top


def _read(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _failed("read", path, error) from error


def _write(path: bytes, data: bytes) -> None:
    """Puts another file in a file's place: the old one may be a hard link to the original."""
    parent = os.path.dirname(path)
    temporary = path + b".graft-checksums"
    try:
        before, status = os.stat(parent), os.stat(path)
        os.chmod(parent, before.st_mode | 0o200)
        with open(temporary, "xb") as file:
            file.write(data)
            os.fchmod(file.fileno(), status.st_mode & 0o7777)
        os.utime(temporary, ns=(status.st_mtime_ns, status.st_mtime_ns))
        os.rename(temporary, path)
        os.chmod(parent, before.st_mode)
        os.utime(parent, ns=(before.st_mtime_ns, before.st_mtime_ns))
    except OSError as error:
        raise _failed("written", path, error) from error


def _failed(what: str, path: bytes, error: OSError) -> TreeError:
    shown = printable(path)
    return TreeError(f"'{shown}' cannot be {what}: {error.strerror}", path=shown)

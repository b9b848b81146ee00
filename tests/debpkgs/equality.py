"""Holds a grafted closure against the rebuilt one: are they equal but for their hashes?

An independent judge: it knows nothing of how the grafted closure was made, reads both from disk,
and compares every entry of every path.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from .bytes_equal import Renaming, first_difference
from .inside import EXPLAINED, Read, why_unequal

_STRIPPED = re.compile(r"(.+?)-[0-9].*?(-[a-z]+)?")


class Status(Enum):
    """What came of one pair of paths."""

    SHARED = "shared"  # one and the same store path
    EQUAL = "equal"  # two paths, the same entries once the hashes are renamed
    ORDER = "order"  # equal but for lists sorted by store path
    INSIDE = "equal inside"  # equal once they are unpacked: `inside` explains the differences
    DIFFERENT = "different"
    GRAFTED_ONLY = "only in the graft"
    REBUILT_ONLY = "only in the rebuild"


@dataclass(frozen=True)
class Difference:
    """One entry that is not equal; `offset` is the first differing byte of two files."""

    entry: str
    kind: str
    offset: int | None = None

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return f"{self.entry or '.'}: {self.kind}{place}"


@dataclass
class Row:
    """The comparison of one pair of paths."""

    name: str
    status: Status
    grafted: str | None = None
    rebuilt: str | None = None
    original: str | None = None
    replaced: bool = False
    files: int = 0
    bytes: int = 0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """All rows, by name."""

    rows: Sequence[Row]

    def with_status(self, *statuses: Status) -> list[Row]:
        """The rows of these statuses."""
        return [row for row in self.rows if row.status in statuses]

    @property
    def unexpected(self) -> list[Row]:
        """Rows that are neither equal nor a replaced package: empty if graft equals rebuild."""
        fine = (Status.SHARED, Status.EQUAL, Status.ORDER, Status.INSIDE)
        return [row for row in self.rows if row.status not in fine and not row.replaced]

    def render(self, differences_shown: int = 5) -> str:
        """The table as text: counts, then every row that is not plainly equal or shared."""
        counts = {status: len(self.with_status(status)) for status in Status}
        compared = [row for row in self.rows if row.status is not Status.SHARED]
        lines = [
            ", ".join(f"{count} {status.value}" for status, count in counts.items() if count)
            + f"; {sum(row.files for row in compared)} files,"
            f" {sum(row.bytes for row in compared) / 2**20:.1f} MiB compared"
        ]
        width = max((len(row.name) for row in compared), default=0)
        for row in compared:
            mark = "  (replaced)" if row.replaced else ""
            lines.append(
                f"{row.name:<{width}}  {row.status.value:<9}"
                f"  {row.files:>6} files  {row.bytes:>11} bytes{mark}"
            )
            lines += [f"    {difference}" for difference in row.differences[:differences_shown]]
            if len(row.differences) > differences_shown:
                lines.append(f"    and {len(row.differences) - differences_shown} more")
        return "\n".join(lines)


def package_name(path: str) -> str:
    """A store path's package and output without hash and version: openssl-bin."""
    name = os.path.basename(path)[33:]
    match = _STRIPPED.fullmatch(name)
    return match.group(1) + (match.group(2) or "") if match else name


def compare(
    grafted: Iterable[str],
    rebuilt: Iterable[str],
    mapping: Mapping[str, str] | None = None,
    replaced: Iterable[str] = (),
) -> Table:
    """Compares two closures; `mapping` is original -> grafted path, `replaced` the originals.

    Pairs are found by name, and by name without version for what is left; the bytes of the
    grafted side are read with its hashes (and names of equal length) renamed to the rebuilt ones.
    """
    originals = {new: old for old, new in (mapping or {}).items()}
    replaced_names = {package_name(path) for path in replaced}
    pairs = pair_by_name(grafted, rebuilt)
    renaming = Renaming((left, right) for left, right in pairs if left and right and left != right)
    rows = []
    for left, right in pairs:
        shown = left or right or ""
        row = Row(
            name=os.path.basename(shown)[33:],
            status=Status.SHARED,
            grafted=left,
            rebuilt=right,
            original=originals.get(left or ""),
            replaced=package_name(shown) in replaced_names,
        )
        if left is None:
            row.status = Status.REBUILT_ONLY
        elif right is None:
            row.status = Status.GRAFTED_ONLY
        elif left != right:
            _compare_paths(row, left, right, renaming)
        rows.append(row)
    return Table(sorted(rows, key=lambda row: row.name))


def pair_by_name(left: Iterable[str], right: Iterable[str]) -> list[tuple[str | None, str | None]]:
    """Pairs the paths of two closures: the same path, then name, then name without version.

    A name that one side has twice is paired with nothing: guessing would hide what is wrong.
    """
    left, right = set(left), set(right)
    pairs: list[tuple[str | None, str | None]] = [(path, path) for path in left & right]
    left, right = left - right, right - left
    keys: tuple[Callable[[str], str], ...] = (lambda p: os.path.basename(p)[33:], package_name)
    for key in keys:
        ours, theirs = _unique(left, key), _unique(right, key)
        for name in ours.keys() & theirs.keys():
            pairs.append((ours[name], theirs[name]))
            left.discard(ours[name])
            right.discard(theirs[name])
    pairs += [(path, None) for path in left]
    pairs += [(None, path) for path in right]
    return pairs


def _unique(paths: Iterable[str], key: Callable[[str], str]) -> dict[str, str]:
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(key(path), []).append(path)
    return {name: found[0] for name, found in groups.items() if len(found) == 1}


def _compare_paths(row: Row, left: str, right: str, renaming: Renaming) -> None:
    ours = {renaming.text(entry): path for entry, path in _entries(left).items()}
    theirs = _entries(right)
    reads = _reader(left), _reader(right)
    for entry in sorted(ours.keys() | theirs.keys()):
        difference: Difference | None
        if entry not in ours or entry not in theirs:
            side = "rebuild" if entry not in ours else "graft"
            difference = Difference(os.fsdecode(entry), f"only in the {side}")
        else:
            difference = _compare_entry(row, entry, ours[entry], theirs[entry], renaming)
            if difference is not None and difference.offset is not None:
                why = why_unequal(
                    difference.entry,
                    Path(os.fsdecode(ours[entry])).read_bytes(),
                    Path(os.fsdecode(theirs[entry])).read_bytes(),
                    renaming,
                    reads,
                )
                difference = Difference(difference.entry, why) if why else difference
        if difference is not None:
            row.differences.append(difference)
    kinds = {kind for found in row.differences for kind in found.kind.split(", ")}
    if not kinds:
        row.status = Status.EQUAL
    elif kinds == {"order"}:
        row.status = Status.ORDER
    else:
        row.status = Status.INSIDE if kinds <= EXPLAINED.keys() else Status.DIFFERENT


def _reader(top: str) -> Read:
    def read(name: str) -> bytes | None:
        file = Path(top, name)
        return file.read_bytes() if file.is_file() else None

    return read


def _entries(path: str) -> dict[bytes, bytes]:
    """Every entry below a path, and the path itself as b"": relative name -> where it is."""
    root = os.fsencode(path)
    found = {b"": root}
    if not os.path.islink(root):
        for directory, subdirectories, files in os.walk(root):
            for name in subdirectories + files:
                entry = os.path.join(directory, name)
                found[os.path.relpath(entry, root)] = entry
    return found


def _compare_entry(
    row: Row, entry: bytes, left: bytes, right: bytes, renaming: Renaming
) -> Difference | None:
    name = os.fsdecode(entry)
    ours, theirs = os.lstat(left), os.lstat(right)
    if stat.S_IFMT(ours.st_mode) != stat.S_IFMT(theirs.st_mode):
        return Difference(name, "type")
    if stat.S_ISLNK(ours.st_mode):
        same = renaming.text(os.readlink(left)) == os.readlink(right)
        return None if same else Difference(name, "link target")
    if not stat.S_ISREG(ours.st_mode):
        return None
    row.files += 1
    row.bytes += ours.st_size
    if (ours.st_mode ^ theirs.st_mode) & 0o111:
        return Difference(name, "executable bit")
    offset = first_difference(left, right, renaming)
    if offset is None:
        return None
    if _is_reordered_list(left, right, renaming):
        return Difference(name, "order")
    kind = "content" if ours.st_size == theirs.st_size else "size and content"
    return Difference(name, kind, offset)


def _is_reordered_list(left: bytes, right: bytes, renaming: Renaming) -> bool:
    """Whether two files list the same store paths, one to a line (buildEnv's manifest)."""
    if os.path.getsize(left) != os.path.getsize(right) or os.path.getsize(left) > 1 << 20:
        return False
    with open(left, "rb") as ours, open(right, "rb") as theirs:
        lines, expected = renaming.text(ours.read()).splitlines(), theirs.read().splitlines()
    listed = all(re.fullmatch(rb"/.*/[0-9a-z]{32}-[^/]+", line) for line in lines)
    return listed and sorted(lines) == sorted(expected)

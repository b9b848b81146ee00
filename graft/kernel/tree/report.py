"""The counts and finds of a walk over one tree."""

from __future__ import annotations

from dataclasses import dataclass

from graft.kernel.place import Place, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCounts:
    """The regular files that were made, by how.

    Attributes:
        patched: written with rewritten references.
        linked: hard links, to the original or to a file made before in the same tree.
        reflinked: files that share their blocks with the original.
        copied: written as they were.
    """

    patched: int = 0
    linked: int = 0
    reflinked: int = 0
    copied: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeReport:
    """The counts and finds of a walk over one tree.

    Attributes:
        nar_size: the size of the result's NAR in bytes.
        regular_files: regular files seen.
        files: the regular files that were made; where nothing was written, the files that would
            have been patched.
        directories: directories seen, the top included.
        symlinks: symlinks seen.
        bytes_read: bytes of contents.
        bytes_written: bytes of the patched and the copied files.
        bytes_shared: bytes of the linked and the reflinked files.
        references: hits rewritten, in contents, symlink targets and names.
        bare: the hits of `references` whose hash part was not followed by the name.
        overlapped: hits left alone because they begin inside a rewritten one.
        found: where the wanted references stand, if that was asked for, in the order of the walk;
            files by the result's names.
        seen: indices of the wanted entries that stand anywhere in the result.
        marked: the regular files that have one of the marks asked for, or were rewritten: paths
            relative to the top, in the original's names, sorted; empty for the top itself.
        suspects: where words of the suspicions asked for stand, sorted.
        streamed: the regular files in which a stream may begin, if a suspicion asked for them; as
            in `marked`, but in the result's names.
        dense: the regular files that are packed or encrypted, by names like in `streamed`.
    """

    nar_size: int
    regular_files: int
    files: FileCounts
    directories: int
    symlinks: int
    bytes_read: int
    bytes_written: int
    bytes_shared: int
    references: int
    bare: int
    overlapped: int
    found: tuple[Place, ...]
    seen: frozenset[int]
    marked: tuple[bytes, ...] = ()
    suspects: tuple[Site, ...] = ()
    streamed: tuple[bytes, ...] = ()
    dense: tuple[bytes, ...] = ()

"""File system objects made up by hypothesis, and their NARs written out by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st

from graft.formats import nar


@dataclass(frozen=True)
class File:
    contents: bytes
    executable: bool = False


@dataclass(frozen=True)
class Link:
    target: bytes


@dataclass(frozen=True)
class Folder:
    entries: dict[bytes, Node] = field(default_factory=dict)


Node = File | Link | Folder


def archive_of(node: Node) -> bytes:
    """The NAR of a made-up object."""
    return nar.MAGIC + _object(node)


def _object(node: Node) -> bytes:
    if isinstance(node, File):
        size = len(node.contents)
        head = nar.regular_head(size, executable=node.executable)
        return head + node.contents + nar.regular_tail(size)
    if isinstance(node, Link):
        return nar.symlink_object(node.target)
    inner = b"".join(
        nar.entry_head(name) + _object(entry) + nar.ENTRY_TAIL
        for name, entry in sorted(node.entries.items())
    )
    return nar.DIRECTORY_HEAD + inner + nar.DIRECTORY_TAIL


def write(place: bytes, node: Node) -> None:
    """Makes an object that was made up."""
    if isinstance(node, File):
        Path(os.fsdecode(place)).write_bytes(node.contents)
        os.chmod(place, 0o755 if node.executable else 0o644)
    elif isinstance(node, Link):
        os.symlink(node.target, place)
    else:
        os.mkdir(place)
        for name, entry in node.entries.items():
            write(place + b"/" + name, entry)


def nodes(pieces: st.SearchStrategy[bytes] | None = None) -> st.SearchStrategy[Node]:
    """Objects of all types, whose bytes are made of `pieces`, of anything if None."""
    bytes_ = pieces if pieces is not None else st.binary(max_size=40)
    names = bytes_.map(lambda name: name.replace(b"/", b"").replace(b"\0", b"")[:255]).filter(
        lambda name: name not in {b"", b".", b".."}
    )
    targets = bytes_.map(lambda target: target.replace(b"\0", b"")[:4095]).filter(bool)
    leaves: st.SearchStrategy[Node] = st.one_of(
        st.builds(File, bytes_, st.booleans()), st.builds(Link, targets)
    )
    return st.recursive(
        leaves,
        lambda inner: st.builds(Folder, st.dictionaries(names, inner, max_size=4)),
        max_leaves=8,
    )

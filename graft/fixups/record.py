"""RECORD files of installed Python distributions: sums and sizes of the installed files.

Source: the Python packaging specification "Recording installed projects".
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode

from graft.fixups.api import Fixup, Inside

_ALGORITHMS = (b"sha256", b"sha384", b"sha512")


class Record(Fixup):
    """The sums of the files that changed, where they were right before."""

    name = "record"
    opens = False
    names = (b"RECORD",)

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By the name, and a first line with a sum or without one."""
        return super().recognises(head, name) and head.split(b"\n")[0].count(b",") >= 2

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The list with the new sums."""
        del name
        old_lines = data.split(b"\n")
        new_lines = inside.plain(data).split(b"\n")
        if len(old_lines) != len(new_lines):
            return data
        result = [_line(old, new, inside) for old, new in zip(old_lines, new_lines, strict=True)]
        made = b"\n".join(result)
        return data if made == data else made


def _line(old: bytes, new: bytes, inside: Inside) -> bytes:
    ending = b"\r" if new.endswith(b"\r") else b""
    fields = new.removesuffix(b"\r").rsplit(b",", 2)
    if len(fields) < 3 or not fields[1]:
        return new
    path = b"../" + old.removesuffix(b"\r").rsplit(b",", 2)[0].strip(b'"').replace(b'""', b'"')
    algorithm, _, digest = fields[1].partition(b"=")
    if algorithm not in _ALGORITHMS:
        return new
    if not inside.changed(path):
        return new
    old_file, new_file = inside.old(path), inside.new(path)
    if old_file is None or new_file is None:
        return new
    if _digest(algorithm, old_file) != digest:
        inside.note(f"'{path[3:].decode(errors='backslashreplace')}' had another sum already")
        return new
    size = b"%d" % len(new_file) if fields[2] else b""
    return b",".join((fields[0], algorithm + b"=" + _digest(algorithm, new_file), size)) + ending


def _digest(algorithm: bytes, data: bytes) -> bytes:
    digest = hashlib.new(algorithm.decode(), data).digest()
    return urlsafe_b64encode(digest).rstrip(b"=")

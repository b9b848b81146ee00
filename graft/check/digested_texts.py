"""Digests of texts that hold a path which moves: caches find an entry by the digest of its path."""

from __future__ import annotations

import hashlib
import re
from itertools import islice
from typing import Final

from graft.fixups.text import is_text
from graft.formats.file_name import printable
from graft.kernel import Table
from graft.objects.checksums import ChangedFile

LARGEST_TEXT: Final = 1 << 18
"""Bytes of a file whose texts are digested."""

_MOST: Final = 64  # texts of a file, and of a line: other digests than these are of something else
_LONGEST: Final = 1024
_KINDS: Final = ("md5", "sha1", "sha256")
_PATH: Final = re.compile(rb"[\w./+@~%-]+")
_QUOTED: Final = re.compile(rb"\"([^\"\n]+)\"|'([^'\n]+)'")


def moving_texts(data: bytes, table: Table) -> set[bytes]:
    """The texts of a file that hold a path which moves: the path, quoted texts, whole lines.

    Args:
        data: the whole file; one that is no text has no such texts.
        table: finds the hash parts of the paths.
    """
    hits, _ = table.find(data)
    if not hits or not is_text(data):
        return set()
    found: set[bytes] = set()
    for hit in islice((hit for hit in hits if hit.stride == 1), _MOST):
        start = data.rfind(b"\n", 0, hit.offset) + 1
        end = data.find(b"\n", hit.offset)
        line = data[start : end if end >= 0 else len(data)]
        place = hit.offset - start
        for match in islice(_PATH.finditer(line), _MOST):
            if match.start() <= place < match.end():
                path = match[0].rstrip(b".")
                found |= {path, b"file://" + path} if path.startswith(b"/") else {path}
        for match in islice(_QUOTED.finditer(line), _MOST):
            if match.start() <= place < match.end():
                found.add(match[1] or match[2])
        found |= {line.rstrip(b"\r"), line.strip(), line + b"\n"}
    return {text for text in found if len(text) <= _LONGEST}


def digested_text(text: bytes) -> ChangedFile:
    """A text and its digests, as of a file that changes."""
    return ChangedFile(
        name=f"the text {printable(text.strip())}",
        old={kind: hashlib.new(kind, text, usedforsecurity=False).digest() for kind in _KINDS},
    )

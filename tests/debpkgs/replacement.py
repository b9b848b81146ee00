"""A fixed library where Debian has none: a .deb with an edit of equal length in its libraries."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

_AR_MAGIC = b"!<arch>\n"
_LIBRARY = re.compile(r"\.so(\.|$)")


@dataclass(frozen=True)
class Edit:
    """What to change in which package's libraries; both texts have one length."""

    package: str
    old: bytes
    new: bytes

    def __post_init__(self) -> None:
        if len(self.old) != len(self.new):
            raise ValueError(f"{self.old!r} and {self.new!r} are not of equal length")

    def digest(self, archive_sha256: str) -> str:
        """Names the edited archive before it is made."""
        text = f"{archive_sha256} {self.package} {self.old.hex()} {self.new.hex()}"
        return hashlib.sha256(text.encode()).hexdigest()


def edit_archive(source: Path, target: Path, edit: Edit) -> int:
    """Writes the edited .deb, the same bytes each time; how many places changed (never 0)."""
    unpacked = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(source)], check=True, capture_output=True
    ).stdout
    edited, count = edit_tar(unpacked, edit)
    if count == 0:
        raise ValueError(f"no library in {source.name} contains {edit.old!r}")
    members = [
        (name, data)
        for name, data in read_ar(source.read_bytes())
        if not name.startswith("data.tar")
    ]
    members.append(("data.tar.gz", gzip.compress(edited, compresslevel=1, mtime=0)))
    partial = target.with_suffix(".partial")
    partial.write_bytes(write_ar(members))
    partial.rename(target)
    return count


def edit_tar(data: bytes, edit: Edit) -> tuple[bytes, int]:
    """A tar's bytes with the edit made in its libraries, and how often.

    In place: a tar keeps no checksum of contents, so all else stays as Debian made it.
    """
    result = bytearray(data)
    count = 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if member.isreg() and _LIBRARY.search(member.name.rpartition("/")[2]):
                start, end = member.offset_data, member.offset_data + member.size
                content = bytes(result[start:end])
                count += content.count(edit.old)
                result[start:end] = content.replace(edit.old, edit.new)
    return bytes(result), count


def read_ar(data: bytes) -> list[tuple[str, bytes]]:
    """The members of an ar archive."""
    if not data.startswith(_AR_MAGIC):
        raise ValueError("not an ar archive")
    members = []
    offset = len(_AR_MAGIC)
    while offset + 60 <= len(data):
        name = data[offset : offset + 16].decode("ascii").rstrip().rstrip("/")
        size = int(data[offset + 48 : offset + 58])
        members.append((name, data[offset + 60 : offset + 60 + size]))
        offset += 60 + size + size % 2
    return members


def write_ar(members: list[tuple[str, bytes]]) -> bytes:
    """An ar archive with neither times nor owners."""
    parts = [_AR_MAGIC]
    for name, data in members:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n"
        parts += [header.encode("ascii"), data, b"\n" * (len(data) % 2)]
    return b"".join(parts)

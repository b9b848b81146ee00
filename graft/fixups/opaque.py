"""File types that are recognised so as to be left alone: a rewrite would break what checks them.

What can be seen in their bytes is reported; what is compressed in them is not looked into.
"""

from __future__ import annotations

from graft.fixups.api import Fixup, Inside, LeftAloneError


class Opaque(Fixup):
    """One such type.

    Args:
        reason: why it is left alone; a sentence about `it`.
        always: whether references may be hidden in it, so that it is reported in any case.
    """

    opens = False

    def __init__(
        self,
        name: str,
        reason: str,
        *,
        magics: tuple[tuple[int, bytes], ...] = (),
        suffixes: tuple[bytes, ...] = (),
        always: bool = True,
    ) -> None:
        self.name, self._reason, self._always = name, reason, always
        self.magics, self.suffixes = magics, suffixes

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """Never anything else."""
        del name
        if self._always or inside.plain(data) is not data:
            raise LeftAloneError(self._reason)
        return data


OPAQUE = (
    Opaque("squashfs", "it is a compressed file system image", magics=((0, b"hsqs"), (0, b"sqsh"))),
    Opaque(
        "erofs", "it is a file system image with checksums", magics=((1024, b"\xe2\xe1\xf5\xe0"),)
    ),
    Opaque("ext4", "it is a file system image with checksums", magics=((1080, b"\x53\xef"),)),
    Opaque("qcow2", "it is a disk image", magics=((0, b"QFI\xfb"),)),
    Opaque("iso", "it is a disk image", suffixes=(b".iso",)),
    Opaque("brotli", "it is compressed with brotli", suffixes=(b".br",)),
    Opaque("lzma", "it is compressed with the old lzma", suffixes=(b".lzma", b".lz", b".lzo")),
    Opaque("kernel-module", "it may be signed", suffixes=(b".ko",), always=False),
    Opaque("racket", "its dependencies are checked by SHA-1", suffixes=(b".zo", b".dep")),
    Opaque("chez", "it is compressed and checked", magics=((0, b"\0\0\0\0chez"),)),
    Opaque("beam", "its literals are compressed", magics=((8, b"BEAM"),), suffixes=(b".beam",)),
    Opaque(
        "r-database", "its records are compressed", suffixes=(b".rdb", b".rdx", b".rds", b".rda")
    ),
    Opaque("pe", "it may be signed or a unified kernel image", suffixes=(b".efi",), always=False),
)
"""In their order in the registry."""

"""File types that are recognised so as to be left alone: a rewrite would break their checks.

References that can be seen in their bytes are reported; their compressed parts are not looked into.
"""

from __future__ import annotations

from collections.abc import Callable

from graft.fixups.api import Fixup, Inside, LeftAloneError


class Opaque(Fixup):
    """One such type.

    Args:
        reason: why it is left alone; a sentence about `it`.
        also: a further condition on the first bytes.
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
        also: Callable[[bytes], bool] | None = None,
        always: bool = True,
    ) -> None:
        self.name, self._reason, self.hides = name, reason, always
        self._also = also
        self.magics, self.suffixes = magics, suffixes

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By magic or name, and the rest of the first bytes."""
        return super().recognises(head, name) and (self._also is None or self._also(head))

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """Never anything else."""
        del name
        if self.hides or inside.plain(data) is not data:
            raise LeftAloneError(self._reason)
        return data


def _is_ext4(head: bytes) -> bool:
    """The magic has two bytes only: the block size and the revision are looked at as well."""
    block_size, revision = (int.from_bytes(head[at : at + 4], "little") for at in (1048, 1100))
    return block_size <= 6 and revision <= 1


_TOKYO_PACKED = 0b11110  # the options of the header for deflate, bzip2, TCBS and others
_KYOTO_PACKED = 0b100

OPAQUE = (
    Opaque("squashfs", "it is a compressed file system image", magics=((0, b"hsqs"), (0, b"sqsh"))),
    Opaque(
        "ext4",
        "it is a file system image with checksums",
        magics=((1080, b"\x53\xef"),),
        also=_is_ext4,
    ),
    Opaque("xfs", "it is a file system image with checksums", magics=((0, b"XFSB"),)),
    Opaque("qcow2", "it is a disk image", magics=((0, b"QFI\xfb"),)),
    Opaque("vmdk", "it is a disk image", magics=((0, b"KDMV"),)),
    Opaque("disk", "it is a disk image", magics=((512, b"EFI PART"),)),
    Opaque("iso", "it is a disk image", suffixes=(b".iso",)),
    Opaque("brotli", "it is compressed with brotli", suffixes=(b".br",)),
    Opaque("lzma", "it is compressed with the old lzma", suffixes=(b".lzma",)),
    Opaque("lzip", "it is compressed with lzip", magics=((0, b"LZIP"),)),
    Opaque("lzop", "it is compressed with lzop", magics=((0, b"\x89LZO\0"),)),
    Opaque("compress", "it is compressed with compress", magics=((0, b"\x1f\x9d"),)),
    Opaque(
        "archive",
        "it is packed by a program whose format is not read here",
        magics=(
            *((0, b"7kSt"), (7, b"**ACE**"), (20, b"\xdc\xa7\xc4\xfd"), (0, b"LRZI"), (0, b"RZIP")),
            *(
                (0, b"mozLz40\0"),
                (0, b"MSWIM\0\0\0"),
                (0, b"SZDD\x88\xf0\x27\x33"),
                (0, b"KWAJ\x88"),
            ),
            *((0, b"\0ZCK1"), (0, b"drpm"), (0, b"\xca\xfe\xd0\x0d"), (0, b"DWARFS")),
            *((0, b"\x45\x3d\xcd\x28"), (0, b"UBI#"), (0, b"bvx2"), (0, b"bvx-"), (0, b"bvxn")),
            *((0, b"PAR1"), (0, b"Obj\1"), (2, b"-lh5-"), (2, b"-lh6-"), (2, b"-lh7-")),
        ),
    ),
    Opaque(
        "encrypted",
        "it is encrypted",
        magics=((0, b"Salted__"), (0, b"LUKS\xba\xbe"), (0, b"age-encryption.org/")),
    ),
    Opaque("7z", "it is a compressed archive", magics=((0, b"7z\xbc\xaf\x27\x1c"),)),
    Opaque("cab", "it is a compressed archive", magics=((0, b"MSCF\0\0\0\0"),)),
    Opaque("xar", "it is a compressed archive with checksums", magics=((0, b"xar!"),)),
    Opaque("rpm", "it is a package with checksums", magics=((0, b"\xed\xab\xee\xdb"),)),
    Opaque("git-pack", "its objects are compressed, and named by hashes", magics=((0, b"PACK\0"),)),
    Opaque(
        "racket",
        "its dependencies are checked by SHA-1",
        suffixes=(b".zo", b".dep"),
        also=lambda head: head.startswith((b"#~", b"((")),
    ),
    Opaque("chez", "it is compressed and checked", magics=((0, b"\0\0\0\0chez"),)),
    Opaque(
        "r-database",
        "its records are compressed",
        suffixes=(b".rdb", b".rdx"),
        # LibreOffice's registries of services and types have the name as well.
        also=lambda head: not head.startswith((b"<?xml ", b"UNOIDL\xff\0")),
    ),
    Opaque(
        "gdbm",
        "its keys are hashed",
        magics=tuple(
            (0, number.to_bytes(4, order))
            for number in (0x13579ACE, 0x13579ACD, 0x13579ACF)
            for order in ("little", "big")
        ),
        always=False,
    ),
    Opaque(
        "berkeley-db",
        "its keys are hashed or sorted",
        magics=((12, b"\x61\x15\x06\0"), (12, b"\x62\x31\x05\0")),
        always=False,
    ),
    Opaque("tdb", "its keys are hashed", magics=((0, b"TDB file\n\0"),), always=False),
    Opaque(
        "tokyo-cabinet",
        "its records are compressed",
        magics=((0, b"ToKyO CaBiNeT"),),
        also=lambda head: bool(head[36:37] and head[36] & _TOKYO_PACKED),
    ),
    Opaque(
        "kyoto-cabinet",
        "its records are compressed",
        magics=((0, b"KC\n"),),
        also=lambda head: bool(head[11:12] and head[11] & _KYOTO_PACKED),
    ),
    Opaque(
        "ostree-object",
        "its contents are deflated, and its name is their hash",
        suffixes=(b".filez",),
    ),
    Opaque(
        "node-snapshot",
        "its parts are checked by sums",
        magics=((0, b"\x19\xda\x43\x01"),),
        always=False,
    ),
    Opaque(
        "hdf5",
        "its records are checked by sums",
        magics=((0, b"\x89HDF\r\n\x1a\n"),),
        also=lambda head: head[8:9] not in {b"\0", b"\1"} or b"OHDR" in head,
        always=False,
    ),
    Opaque("lmdb", "its keys are sorted", magics=((16, b"\xde\xc0\xef\xbe"),), always=False),
)
"""In their order in the registry."""

"""Media: pictures, sounds, films, fonts, keys and the like, whose dense data is no packed text.

Text in such a file (a comment, a name) stands in the open, or in a stream that is opened.
"""

from __future__ import annotations

from typing import Final

_AT_BEGIN: Final = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"RIFF", b"8BPS", b"gimp xcf"),
    *(b"II*\0", b"MM\0*", b"P4\n", b"P5\n", b"P6\n", b"\0\0\0\x0cjP  ", b"AT&TFORM", b"qoif"),
    *(
        b"ID3",
        b"\xff\xfb",
        b"\xff\xf3",
        b"\xff\xf2",
        b"\xff\xf1",
        b"OggS",
        b"fLaC",
        b".snd",
        b"FORM",
    ),
    *(b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"FLV\1", b"MinPHR0"),
    *(b"wOFF", b"wOF2", b"OTTO", b"ttcf", b"\0\1\0\0\0", b"true\0", b"%!PS-AdobeFont", b"\x80\1"),
    *(b"\0\0\1\0%c\0" % count for count in range(1, 32)),  # icons
    # The objects of Go, whose texts stand in tables of dense numbers.
    *(b"go object ", b"\0go120ld", b"\0go119ld", b"\0go118ld", b"\0go112ld", b"\0go116ld"),
    *(b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce"),  # Java's stores of keys
    *(b"TZif", b"\x99\1", b"\x99\2", b"\x98", b"\xc6", b"\xf1\xc5\1\2"),
)
_LATER: Final = (
    *((4, b"ftyp"), (8, b"ftyp"), (20, b"GPAT"), (20, b"GIMP"), (36, b"acsp")),
    # A certificate or a key in DER: a sequence of a sequence, or of a number.
    *((4, b"0\x82"), (4, b"\2\1\0"), (4, b"\2\1\3"), (5, b"0\x82"), (5, b"\2\1\3")),
)


def is_media(head: bytes) -> bool:
    """Whether a file that begins so has no packed text.

    Args:
        head: its first bytes, 64 of them if there are as many.
    """
    return head.startswith(_AT_BEGIN) or any(head.startswith(magic, at) for at, magic in _LATER)

"""Whether a file is text: UTF-8 without NUL."""

from __future__ import annotations

import codecs


class TextProbe:
    """Tells of one file, as its bytes pass, whether it is text: UTF-8 without NUL."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text: bool | None = None

    def more(self, data: bytes | memoryview, *, final: bool = False) -> None:
        """The bytes that come next.

        Args:
            final: the last bytes have come; `data` may be empty.
        """
        if self._text is not None:
            return
        data = bytes(data)
        try:
            self._decoder.decode(data, final)
        except UnicodeDecodeError:
            self._text = False
            return
        if b"\0" in data:
            self._text = False
        elif final:
            self._text = True

    @property
    def text(self) -> bool | None:
        """Whether it is text; None: the bytes that have passed do not tell yet."""
        return self._text


def is_text(data: bytes) -> bool:
    """Whether some bytes are UTF-8 without NUL."""
    probe = TextProbe()
    probe.more(data, final=True)
    return bool(probe.text)

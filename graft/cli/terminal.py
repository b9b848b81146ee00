"""Text on terminals: escaped, coloured, and in whichever encoding there is."""

from __future__ import annotations

import codecs
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, TextIO, cast

Colour = Literal["red", "green", "yellow", "cyan"]

_CODES: Final[dict[Colour, str]] = {"red": "31", "green": "32", "yellow": "33", "cyan": "36"}
# Control characters, line and paragraph separators, and what turns the direction of a line round
# (Unicode Standard Annex 9), for it shows other names than there are.
_UNSAFE: Final = "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
# One for one, so that tables stay straight.
_PLAIN: Final = {
    "→": ">", "…": "~", "·": "-", "─": "-", "└": "`", "—": "-",
}  # fmt: skip
_DEFAULT_COLUMNS: Final = 80


def escaped(text: str) -> str:
    r"""A text of one line that no terminal obeys: control characters become `\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    from graft.formats.file_name import printable_text

    return re.sub(_UNSAFE, _escape, printable_text(text))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def painted(text: str, colour: Colour, stream: TextIO) -> str:
    """The text in a colour, if the stream takes any."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if takes_colour(stream) else text


def takes_colour(stream: TextIO) -> bool:
    """Whether colours are wanted there: NO_COLOR and FORCE_COLOR decide, else a terminal does."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def columns_of(stream: TextIO) -> int | None:
    """The width of a terminal; None if the stream is another file."""
    if not stream.isatty():
        return None
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or _DEFAULT_COLUMNS


def wrapped(text: str) -> str:
    """A text for stderr in lines of a terminal, broken between words."""
    width = columns_of(sys.stderr)
    if width is None or len(text) <= width:
        return text
    import textwrap

    return "\n".join(
        textwrap.wrap(
            text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    )


def print_error(message: str, *, about: str = "") -> None:
    """Says on stderr why something ended, in one line.

    Args:
        about: the job of a batch, where the others go on.
    """
    head = about or "error"
    text = wrapped(f"graft: {escaped(head)}: {escaped(message)}")
    if not about:
        text = text.replace(head, painted(head, "red", sys.stderr), 1)
    print(text, file=sys.stderr)


class StdoutError(Exception):
    """The standard output takes no more. No `OSError`, which is about other files.

    Attributes:
        error: the system's.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write to stdout: {error.strerror or error}")
        self.error = error


class _Stdout:
    """A standard output whose errors are known from all others."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes a text."""
        try:
            return self._stream.write(text)
        except OSError as error:
            raise StdoutError(error) from error

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes some texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Writes all that is not written yet."""
        try:
            self._stream.flush()
        except OSError as error:
            raise StdoutError(error) from error


@contextmanager
def prepared_streams() -> Iterator[None]:
    """While the block runs, stdout and stderr take every text, and errors of stdout are known.

    Characters that an encoding lacks become the nearest plain ones.
    """
    codecs.register_error("graft", _plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="graft")
    before = sys.stdout
    sys.stdout = cast("TextIO", _Stdout(before))
    try:
        yield
    finally:
        sys.stdout = before


def leave_stdout() -> None:
    """Lets nothing more be written to stdout: Python would try once more, and say so."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def end_by_closed_pipe() -> None:
    """Ends this process as the closed pipe behind stdout ends any other program."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)


def open_missing_streams() -> None:
    """Puts something in the place of closed streams, so that no file gets their numbers.

    A text for a closed stdout is an error, as with other programs.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)
    # typeshed says that they are never None, and Python's manual that they may be.
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115


def _plain(error: UnicodeError) -> tuple[str, int]:
    """The text in the place of characters that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    from graft.formats.file_name import printable_text

    text = error.object[error.start : error.end]
    told = "".join(_PLAIN.get(one) or printable_text(one) for one in text)
    return told.encode("ascii", "backslashreplace").decode(), error.end

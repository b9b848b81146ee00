"""Which files a program and its children open, as strace tells."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

STRACE = (
    *("strace", "--follow-forks", "--quiet=all", "--decode-fds=path", "--successful-only"),
    *("--string-limit=4096", "--signal=none", "--abbrev=all"),
    "--trace=open,openat,openat2,creat,execve,execveat",
)
"""The command that writes the trace for `opened_files`; `--output=FILE` and a command follow.

For a descriptor it prints the path by which the kernel knows the file, all links followed.
"""

# The result of a call that opens a file: a descriptor, and its path between angle brackets.
_OPENED = re.compile(rb"\) = [0-9]+<([^<>]*)>(?:\(deleted\))?$")
_EXECUTED = re.compile(rb'[0-9]+ +execve\("((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-f]{2})|(.))", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
_LONGEST_SHEBANG = 256  # as much as the kernel reads
_MOST_INTERPRETERS = 5  # as many as it follows


def opened_files(trace: bytes, directory: str) -> Iterator[bytes]:
    """The files that a trace says were opened or executed, and the interpreters of scripts.

    Args:
        trace: the output of the command STRACE.
        directory: in which the traced command began; execve does not tell where it looks.

    Yields:
        Absolute paths; the paths of executed files have their present links followed. A file comes
        as often as it was opened. Lines of any other form are passed over.
    """
    for line in trace.splitlines():
        if (opened := _OPENED.search(line)) is not None:
            yield _unescaped(opened[1])
        elif (executed := _EXECUTED.match(line)) is not None:
            yield from _executed_files(
                os.path.join(os.fsencode(directory), _unescaped(executed[1]))
            )


def _unescaped(text: bytes) -> bytes:
    """A string as C writes it, and strace: octal, hexadecimal, or a letter behind a backslash."""

    def character(escape: re.Match[bytes]) -> bytes:
        octal, hexadecimal, letter = escape.groups()
        if octal is not None:
            return bytes([int(octal, 8) & 255])
        if hexadecimal is not None:
            return bytes([int(hexadecimal, 16)])
        return _LETTERS.get(letter, letter)

    return _ESCAPE.sub(character, text)


def _executed_files(file: bytes) -> Iterator[bytes]:
    """A program, and the interpreter that the kernel opens to run it if it is a script."""
    for _ in range(_MOST_INTERPRETERS):
        file = os.path.realpath(file)
        yield file
        try:
            with open(file, "rb") as stream:
                head = stream.read(_LONGEST_SHEBANG)
        except OSError:
            return
        words = head.split(b"\n", 1)[0][2:].split(maxsplit=1)
        if not head.startswith(b"#!") or not words:
            return
        file = words[0]

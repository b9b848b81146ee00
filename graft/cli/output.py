"""The output of commands: JSON documents and tables on stdout; warnings and progress on stderr."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from graft.cli.progress import Bars
from graft.cli.settings import Settings
from graft.cli.terminal import Colour, columns_of, escaped, painted, print_error

if TYPE_CHECKING:
    from graft.plan import PlanWarning

__all__ = [
    "Bars",
    "plain_table",
    "print_document",
    "print_error",
    "print_line",
    "print_note",
    "print_table",
    "print_warnings",
]

_NARROW: Final = "[ -~…]*"  # all that most tables hold
_STORE_PATH: Final = r"(?:/[^\s'/]+)*/([0-9a-df-np-sv-z]{6})[0-9a-df-np-sv-z]{26}-"
_WARNING_LENGTH: Final = 2 * 80
_MARGIN: Final = 3  # between two columns
_NARROWEST: Final = 8


def print_document(document: Mapping[str, Any]) -> None:
    """Prints a JSON document on stdout."""
    import json

    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_line(text: str) -> None:
    """Prints one line on stdout, with nothing in it that a terminal would obey."""
    print(escaped(text))


def print_note(message: str, settings: Settings, colour: Colour | None = None) -> None:
    """Says something on stderr, unless it is to be quiet.

    Args:
        colour: of the words before the first colon.
    """
    if not settings.quiet:
        head, colon, rest = escaped(message).partition(":")
        if colour is None and head == "warning":
            colour = "yellow"
        if colour is not None:
            head = painted(head, colour, sys.stderr)
        print(f"graft: {head}{colon}{rest}", file=sys.stderr)


def print_warnings(warnings: Iterable[PlanWarning], settings: Settings) -> None:
    """Prints warnings on stderr, a line for each kind, unless it is to be quiet.

    With --verbose each has a line of its own, and its paths are whole.
    """
    warnings = list(warnings)
    if settings.verbosity:
        for warning in warnings:
            print_note(f"warning: {warning.message} ({warning.kind})", settings)
        return
    from collections import Counter

    counts = Counter(warning.kind for warning in warnings)
    for warning in warnings:
        more = counts.pop(warning.kind, 0) - 1
        if more < 0:
            continue
        end = f"; and {more:,} more" if more else ""
        end += f" ({warning.kind})"
        room = _WARNING_LENGTH - len(f"graft: warning: {end}")
        print_note(f"warning: {_shortened(brief_paths(warning.message), room)}{end}", settings)


def brief_paths(text: str) -> str:
    """A text whose store paths are named by 6 characters of the hash part, and the name."""
    return re.sub(_STORE_PATH, r"\1…-", text)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[str] = (),
    to_stderr: bool = False,
) -> None:
    """Prints a table; as wide as it needs to be where no terminal limits it.

    Args:
        columns: their headings.
        rows: a text for each column.
        right: the headings of columns whose texts end flush.
        to_stderr: where stdout is not for tables.
    """
    stream = sys.stderr if to_stderr else sys.stdout
    right = set(right)
    cells = [[escaped(text) for text in row] for row in rows]
    width = columns_of(stream)
    if width is not None:
        cells = list(_folded(columns, cells, width, right))
    stream.writelines(
        line if width is None else f"{line.rstrip()}\n"
        for line in plain_table(columns, cells, right=right)
    )
    stream.flush()  # the next text on stderr comes after it


def _folded(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, right: Collection[str]
) -> Iterator[list[str]]:
    """The rows in a table of at most so many columns of a terminal, a row of its own each line."""
    texts = list(zip(columns, *rows, strict=True))
    widths = [max(map(_cells("".join(column)), column)) for column in texts]
    words = [max(len(word) for text in column for word in text.split(" ")) for column in texts]
    room = width - _MARGIN * (len(columns) - 1)
    for least in (words, [_NARROWEST] * len(columns)):
        while sum(widths) > room:
            wide = [
                (widths[place], place)
                for place, heading in enumerate(columns)
                if heading not in right and widths[place] > max(least[place], len(heading))
            ]
            if not wide:
                break
            widths[max(wide)[1]] -= 1
    for row in rows:
        folded = [_lines(text, size) for text, size in zip(row, widths, strict=True)]
        for number in range(max(map(len, folded))):
            yield [lines[number] if number < len(lines) else "" for lines in folded]


def _lines(text: str, width: int) -> list[str]:
    if len(text) <= width:
        return [text]
    import textwrap

    return textwrap.wrap(text, width, break_on_hyphens=len(max(text.split(" "), key=len)) > width)


def plain_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()
) -> Iterator[str]:
    """A table as rich prints it where there is room, which takes it half a millisecond a row.

    Args:
        columns, right: as for `print_table`.

    Yields:
        Its lines.
    """
    padded = [_padded(texts, right=texts[0] in right) for texts in zip(columns, *rows, strict=True)]
    head, *lines = map("   ".join, zip(*padded, strict=True))
    yield f"{head}\n"
    yield "\u2500" * _cells(head)(head) + "\n"
    for line in lines:
        yield f"{line}\n"


def _padded(texts: Sequence[str], *, right: bool) -> list[str]:
    """A column's texts, all of them as wide as the widest."""
    cells = _cells("".join(texts))
    widest = max(map(cells, texts))
    if right:
        return [" " * (widest - cells(text)) + text for text in texts]
    return [text + " " * (widest - cells(text)) for text in texts]


def _cells(text: str) -> Callable[[str], int]:
    """The function that gives the width of such a text on a terminal."""
    if re.fullmatch(_NARROW, text):
        return len
    from rich.cells import cell_len

    return cell_len

"""The output of commands: JSON documents and tables on stdout; warnings and progress on stderr."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from graft.cli.progress import Bars
from graft.cli.settings import Settings
from graft.cli.terminal import Colour, columns_of, escaped, painted, print_error, wrapped

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
_STORE_PATH: Final = r"(?:(?:/[^\s'/]+)*/|\b)([0-9a-df-np-sv-z]{6})[0-9a-df-np-sv-z]{26}-"
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
        head, colon, rest = wrapped(f"graft: {escaped(message)}").partition(": ")
        word, between, rest = rest.partition(":")
        if colour is None and word == "warning":
            colour = "yellow"
        if colour is not None:
            word = painted(word, colour, sys.stderr)
        print(f"{head}{colon}{word}{between}{rest}", file=sys.stderr)


def print_warnings(warnings: Iterable[PlanWarning], settings: Settings, about: str = "") -> None:
    """Prints warnings on stderr, a line for each kind, unless it is to be quiet.

    With --verbose each has a line of its own, and its paths are whole.

    Args:
        about: the job of a batch, before each line.
    """
    warnings = list(warnings)
    if settings.verbosity:
        for warning in warnings:
            print_note(f"{about}warning: {warning.message} ({warning.kind})", settings)
        return
    from collections import Counter

    counts = Counter(warning.kind for warning in warnings)
    for warning in warnings:
        more = counts.pop(warning.kind, 0) - 1
        if more < 0:
            continue
        end = f"; and {more:,} more" if more else ""
        end += f" ({warning.kind})"
        room = _WARNING_LENGTH - len(f"graft: {about}warning: {end}")
        print_note(
            f"{about}warning: {_shortened(brief_paths(warning.message), room)}{end}", settings
        )


def brief_paths(text: str) -> str:
    """A text whose store paths are named by 6 characters of the hash part, and the name."""
    return re.sub(_STORE_PATH, r"\1…-", text)


def _shortened(text: str, length: int) -> str:
    """A sentence without words in its middle: its object stays, and the remedy at its end."""
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    head, tail = text[:half].rpartition(" ")[0], text[-half:].partition(" ")[2]
    return f"{head} … {tail}"


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[str] = (),
    to_stderr: bool = False,
    changed: str | None = None,
) -> None:
    """Prints a table; as wide as it needs to be where no terminal limits it.

    Args:
        columns: their headings.
        rows: a text for each column.
        right: the headings of columns whose texts end flush.
        to_stderr: where stdout is not for tables.
        changed: the heading of a column that has a colour.
    """
    stream = sys.stderr if to_stderr else sys.stdout
    right = set(right)
    cells = [[escaped(text) for text in row] for row in rows]
    width = columns_of(stream)
    paint = {changed: partial(painted, colour="cyan", stream=stream)} if changed else {}
    if width is not None:
        cells = list(_folded(columns, cells, width, right))
    stream.writelines(
        line if width is None else f"{line.rstrip()}\n"
        for line in plain_table(columns, cells, right=right, paint=paint)
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
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
    paint: Mapping[str, Callable[[str], str]] | None = None,
) -> Iterator[str]:
    """A table as rich prints it where there is room, which takes it half a millisecond a row.

    Args:
        columns, right: as for `print_table`.
        paint: the functions that give the padded texts of columns their colours.

    Yields:
        Its lines.
    """
    padded = [_padded(texts, right=texts[0] in right) for texts in zip(columns, *rows, strict=True)]
    head = "   ".join(texts[0] for texts in padded)
    yield f"{head}\n"
    yield "\u2500" * _cells(head)(head) + "\n"
    bodies = [
        list(map((paint or {}).get(column, str), texts[1:]))
        for column, texts in zip(columns, padded, strict=True)
    ]
    lines = map("   ".join, zip(*bodies, strict=True))
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

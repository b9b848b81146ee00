"""The output of commands: JSON documents and tables on stdout; warnings and progress on stderr."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from graft.cli.settings import Settings

if TYPE_CHECKING:
    from graft.plan import PlanWarning

_PROGRESS_AFTER_SECONDS = 1.0
_NARROW = re.compile("[ -~…]*")  # all that most tables hold


def print_document(document: Mapping[str, Any]) -> None:
    """Prints a JSON document on stdout."""
    import json

    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def write_whole(file: str, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = f"{file}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, file)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def print_note(message: str, settings: Settings) -> None:
    """Says something on stderr, unless it is to be quiet."""
    if not settings.quiet:
        print(f"graft: {message}", file=sys.stderr)


def print_warnings(warnings: Iterable[PlanWarning], settings: Settings) -> None:
    """Prints warnings on stderr, a line each, unless it is to be quiet."""
    for warning in warnings:
        print_note(f"warning: {warning.message} ({warning.kind})", settings)


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
    if not stream.isatty():
        stream.writelines(plain_table(columns, rows, right=right))
        stream.flush()  # the next text on stderr comes after it
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(file=stream, highlight=False, markup=False).print(table)


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
    if _NARROW.fullmatch(text):
        return len
    from rich.cells import cell_len

    return cell_len


class Bars:
    """Progress bars on stderr, for stages that take more than a second, on a terminal only."""

    def __init__(self, settings: Settings) -> None:
        self._wanted = sys.stderr.isatty() and not settings.quiet

    @contextmanager
    def __call__(self, stage: str, total: int | None) -> Iterator[Callable[[int], object]]:
        """Shows a bar of `total` bytes; the function it gives takes the bytes done."""
        if not self._wanted:
            yield lambda _size: None
            return
        from tqdm import tqdm

        lock = threading.Lock()
        with tqdm(
            desc=stage,
            total=total,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            delay=_PROGRESS_AFTER_SECONDS,
            leave=False,
            file=sys.stderr,
        ) as bar:

            def update(size: int) -> None:
                with lock:
                    bar.update(size)

            yield update

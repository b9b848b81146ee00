"""`graft rewrite`: the plumbing, on one tree or one stream."""

from __future__ import annotations

import json
import os
import posixpath
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from fcntl import F_GETPIPE_SZ, F_SETPIPE_SZ, fcntl
from typing import TYPE_CHECKING, Final

import click

from graft.cli.output import Bars
from graft.cli.settings import Settings, common_options
from graft.cli.terminal import StdoutError
from graft.errors import BadFormatError, UsageError

if TYPE_CHECKING:
    from graft.kernel import Table
    from graft.kernel.tree import FileCounts, TreeReport
    from graft.objects.nar_stream import StreamReport

_STDIN, _STDOUT = 0, 1
# Bytes: the size that any user may have, unless the administrator says otherwise.
_PIPE_SIZE: Final = 1_048_576


@click.command(
    "rewrite",
    epilog="Example: nix-store --dump ./result | graft rewrite --replace OLD=NEW | "
    "nix-store --restore ./copy",
)
@click.option(
    "--replace",
    "replacements",
    metavar="OLD=NEW",
    multiple=True,
    help="Hash parts, base names or paths, of equal length.",
)
@click.option(
    "--map", "map_file", metavar="FILE", help="More of them: JSON, or a pair 'OLD NEW' a line."
)
@click.option("--stats", is_flag=True, help="Print counts of the changes as JSON on stderr.")
@click.option("--raw", is_flag=True, help="Treat a stream as plain bytes, even if it is a NAR.")
@click.argument("source", metavar="SRC", required=False)
@click.argument("target", metavar="DST", required=False)
@common_options
@click.pass_obj
def command(
    settings: Settings,
    replacements: tuple[str, ...],
    map_file: str | None,
    stats: bool,
    raw: bool,
    source: str | None,
    target: str | None,
) -> int:
    """Replace hash parts in a tree, from SRC to DST, or in a stream, from stdin to stdout.

    A stream that begins as a NAR is treated as one: names, targets and contents are rewritten each
    on its own. No store is needed.
    """
    from graft.formats.replacements_file import parse_replacements
    from graft.kernel import Table
    from graft.kernel.tree import copy_tree
    from graft.workers import usable_processors

    settings.start_log()
    if settings.json:
        raise UsageError("rewrite has data on its stdout, no json: use --stats")
    if (source is None) != (target is None):
        raise UsageError("give both SRC and DST, or neither for a filter")
    pairs = [_split(argument) for argument in replacements]
    if map_file is not None:
        with open(map_file, encoding="utf-8", errors="replace") as stream:
            pairs += parse_replacements(stream.read(), map_file)
    for old, new in pairs:
        _check_directories(old, new)
    table = Table([(_wanted(old), _wanted(new)) for old, new in pairs])
    report: TreeReport | StreamReport
    if source is not None and target is not None:
        if raw:
            raise UsageError("--raw is for streams, not for trees")
        report = copy_tree(source, target, table, jobs=usable_processors())
        size = report.nar_size
    else:
        report = _filter(settings, table, raw=raw)
        size = report.size
    if stats:
        print(json.dumps(_document(report, size)), file=sys.stderr)
    return 0


def _filter(settings: Settings, table: Table, *, raw: bool) -> StreamReport:
    """Rewrites from stdin to stdout, past their buffers: the window is one itself."""
    from graft.formats import nar
    from graft.formats.window import Window

    for descriptor in (_STDIN, _STDOUT):
        _enlarge(descriptor)
    # Late: trees have no use for it.
    from graft.objects.nar_stream import rewrite_archive, rewrite_stream

    with Bars(settings)("rewrite", _size(_STDIN)) as update:

        def write(data: memoryview) -> None:
            update(len(data))
            while data:
                try:
                    data = data[os.write(_STDOUT, data) :]
                except OSError as error:
                    raise StdoutError(error) from error

        window = Window(lambda buffer: os.readv(_STDIN, [buffer]), write)
        window.holds(len(nar.MAGIC))
        if raw or not window.buffer.startswith(nar.MAGIC):
            return rewrite_stream(window, table)
        return rewrite_archive(window, table)


def _enlarge(descriptor: int) -> None:
    """Gives a pipe room for more than one write, so that its two ends wait for each other less."""
    # Not every descriptor is a pipe, and a user may have only so much memory in pipes.
    with suppress(OSError):
        if fcntl(descriptor, F_GETPIPE_SZ) < _PIPE_SIZE:
            fcntl(descriptor, F_SETPIPE_SZ, _PIPE_SIZE)


def _size(descriptor: int) -> int | None:
    """The bytes of a file; None if that cannot be known."""
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _split(argument: str) -> tuple[str, str]:
    """The two sides of `OLD=NEW`, where names may hold `=` as well."""
    splits = [
        (argument[:place], argument[place + 1 :])
        for place, character in enumerate(argument)
        if character == "=" and _is_wanted([argument[:place], argument[place + 1 :]])
    ]
    if len(splits) != 1:
        raise UsageError(
            f"--replace '{argument}' is not OLD=NEW, two hash parts, base names or store paths",
            argument=argument,
        )
    return splits[0]


def _check_directories(old: str, new: str) -> None:
    """Makes sure that two full paths lie in one directory, for a rewrite keeps the directory.

    Raises:
        UsageError: their directories differ.
    """
    directories = [os.path.normpath(posixpath.dirname(text)) for text in (old, new) if "/" in text]
    if len(set(directories)) > 1:
        raise UsageError(
            f"'{old}' and '{new}' lie in different directories, and rewrite changes hash parts and "
            "names only: give two paths of one store directory, or base names",
            old=old,
            new=new,
        )


def _is_wanted(texts: Iterable[str]) -> bool:
    try:
        for text in texts:
            _wanted(text)
    except BadFormatError:
        return False
    return True


def _wanted(text: str) -> bytes:
    """A hash part or a base name, also of a full path, as the kernel's table takes it."""
    from graft.formats.store_path import HASH_PART_LENGTH, StorePath

    base_name = text.rsplit("/", 1)[-1]
    if len(base_name) == HASH_PART_LENGTH:
        StorePath(f"{base_name}-x")
    else:
        StorePath(base_name)
    return base_name.encode()


def _document(report: TreeReport | StreamReport, size: int) -> dict[str, object]:
    files: FileCounts = report.files
    return {
        "references": report.references,
        "bare": report.bare,
        "overlapped": report.overlapped,
        "bytes": size,
        "files": {
            "patched": files.patched,
            "linked": files.linked,
            "reflinked": files.reflinked,
            "copied": files.copied,
        },
    }

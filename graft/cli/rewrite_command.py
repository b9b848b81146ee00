"""`graft rewrite`: the plumbing, on one tree or one stream."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import BinaryIO

import click

from graft.archive import StreamReport, rewrite_archive, rewrite_stream
from graft.cli.settings import Settings, common_options
from graft.errors import BadFormatError, UsageError
from graft.formats import nar
from graft.formats.replacements import parse_replacements
from graft.formats.store_path import HASH_PART_LENGTH, StorePath
from graft.kernel import Table
from graft.tree import FileCounts, TreeReport, copy_tree


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
@click.option("--stats", is_flag=True, help="Print what was done as JSON on stderr.")
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
    settings.start_log()
    if settings.json:
        raise UsageError("rewrite has data on its stdout, no json: use --stats")
    if (source is None) != (target is None):
        raise UsageError("give both SRC and DST, or neither for a filter")
    pairs = [_split(argument) for argument in replacements]
    if map_file is not None:
        with open(map_file, encoding="utf-8", errors="replace") as stream:
            pairs += parse_replacements(stream.read(), map_file)
    table = Table([(_wanted(old), _wanted(new)) for old, new in pairs])
    report: TreeReport | StreamReport
    if source is not None and target is not None:
        if raw:
            raise UsageError("--raw is for streams, not for trees")
        report = copy_tree(source, target, table)
        size = report.nar_size
    else:
        report = _filter(sys.stdin.buffer, sys.stdout.buffer, table, raw=raw)
        size = report.size
    if stats:
        print(json.dumps(_document(report, size)), file=sys.stderr)
    return 0


def _filter(source: BinaryIO, target: BinaryIO, table: Table, *, raw: bool) -> StreamReport:
    begin = source.read(len(nar.MAGIC))
    rewrite = rewrite_stream if raw or begin != nar.MAGIC else rewrite_archive
    report = rewrite(_after(begin, source), target.write, table)
    target.flush()
    return report


def _after(begin: bytes, stream: BinaryIO) -> Callable[[int], bytes]:
    """Reads what was read already, and then the rest."""
    waiting = [begin]

    def read(size: int) -> bytes:
        if not waiting:
            return stream.read(size)
        piece = waiting.pop()
        if len(piece) > size:
            waiting.append(piece[size:])
            return piece[:size]
        return piece or stream.read(size)

    return read


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


def _is_wanted(texts: Iterable[str]) -> bool:
    try:
        for text in texts:
            _wanted(text)
    except BadFormatError:
        return False
    return True


def _wanted(text: str) -> bytes:
    """A hash part or a base name, also of a full path, as the kernel's table takes it."""
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

"""Writes reference/command-line.md from the commands themselves; `--check` only compares."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from generated import keep_current

from graft.cli import graft_group

PAGE = Path(__file__).parent / "reference" / "command-line.md"
COMMON = {"--store", "--json", "--verbose", "--quiet", "--help"}

INTRODUCTION = """\
# The command line

*Written by `docs/command_line.py` from the commands themselves.*

Results go to stdout; warnings, progress and everything else to stderr. With `--json` stdout is one
JSON document: [json.md](json.md).

A **path argument** is a store path, its base name, or any symlink that leads into the store
(`./result`, a profile); links are followed to the first path inside the store, and no further.

A **name** is a path argument as well, if it means one thing in the closure or the store at hand:
`openssl`, `openssl-3.0.20`, a hash part, or 6 or more of its first characters. `PATH^out`,
`PATH^out,bin` and `DRV^*` mean outputs, as with Nix. The outputs of one derivation are one thing.
A name of several things, or of nothing, is an error with the choices or the nearest names.

| exit status | means |
|---|---|
| 0 | done, or the answer is yes |
| 1 | the answer is no: residual references, broken paths, nothing found |
| 2 | trouble: bad usage, bad input, an error ([errors.md](errors.md)) |
| 130 | interrupted |

A command that takes `-- CMD...` ends with CMD's own status: 127 if there is no such program, 126 if
it cannot be started, and 125, instead of 2, for trouble of graft's own.
"""


def page() -> str:
    context = click.Context(graft_group, info_name="graft")
    common = [parameter for parameter in graft_group.params if _is_common(parameter)]
    parts = [
        INTRODUCTION,
        "## Options of every command\n\nBefore or after the command's name.\n\n"
        + _options(common, context),
        "`graft --version` prints the version and the kernel in use.\n",
        *_commands(graft_group, context),
    ]
    return "\n".join(parts)


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
        else:
            yield _section(command, inner)


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join(command.collect_usage_pieces(context))
    text = inspect.cleandoc(command.help or "")
    own = [one for one in command.params if isinstance(one, click.Option) and not _is_common(one)]
    options = _options(own, context)
    example = (command.epilog or "").removeprefix("Example: ")
    return (
        f"## {context.command_path}\n\n    {context.command_path} {usage}\n\n{text}\n\n"
        + (f"{options}\n" if options else "")
        + f"Example:\n\n    {example}\n"
    )


def _is_common(parameter: click.Parameter) -> bool:
    return not COMMON.isdisjoint(parameter.opts)


def _options(parameters: Sequence[click.Parameter], context: click.Context) -> str:
    records = [record for one in parameters if (record := one.get_help_record(context))]
    if not records:
        return ""
    rows = [f"| `{names.replace('|', chr(92) + '|')}` | {text} |" for names, text in records]
    return "\n".join(["| option | |", "|---|---|", *rows, ""])


def main() -> int:
    return keep_current(PAGE, page())


if __name__ == "__main__":
    sys.exit(main())

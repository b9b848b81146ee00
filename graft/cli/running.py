"""Commands that end as another program: `graft [options] ROOT -- CMD...` becomes CMD.

The exit status is then CMD's own; 126 and 127 as a shell has them, where it cannot be started or
is not found; 125 for trouble of graft's own, so that it is not taken for CMD's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from graft.cli.output import print_error
from graft.cli.settings import Settings
from graft.errors import UsageError
from graft.ways.shell_status import CANNOT_START, NOT_FOUND

OWN_TROUBLE = 125


class RunningCommand(click.Command):
    """A command that runs the words after the first `--`, and gets them as `program`."""

    needs_program = True

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """From here on, its usage errors too, trouble is graft's own and not CMD's."""
        if parent is not None:
            parent.ensure_object(Settings).trouble = OWN_TROUBLE
        return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the words before the first `--`; the rest belongs to CMD."""
        end = args.index("--") if "--" in args else len(args)
        program = tuple(args[end + 1 :])
        rest = super().parse_args(ctx, args[:end])
        if not program and self.needs_program:
            raise click.UsageError("give the program to run after '--'", ctx)
        ctx.params["program"] = program
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The words of the usage line."""
        pieces = ["--", "CMD..."] if self.needs_program else ["[-- CMD...]"]
        return [*super().collect_usage_pieces(ctx), *pieces]

    def invoke(self, ctx: click.Context) -> Any:
        """Refuses --json: stdout is CMD's."""
        if ctx.ensure_object(Settings).json:
            raise UsageError("--json cannot be given here: stdout has the output of CMD")
        return super().invoke(ctx)


class ShellCommand(RunningCommand):
    """A command that runs the words after the first `--`, or a shell if there are no words."""

    needs_program = False


def become(program: Sequence[str], environment: Mapping[str, str]) -> int:
    """Replaces this process by a program, which is looked up in the PATH of `environment`.

    Returns:
        Only if that failed, which has then been said on stderr: 127 if there is no such program,
        126 if it cannot be started.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores these; a program started would go on doing so.
    for name in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(name, signal.SIG_DFL)
    try:
        os.execvpe(program[0], list(program), dict(environment))  # noqa: S606 - CMD is the user's
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else str(error)) or "failed"
        print_error(f"cannot run '{program[0]}': {reason}")
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        return NOT_FOUND if missing else CANNOT_START

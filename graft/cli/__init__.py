"""The command line: wiring only. Each command is a module of its own, loaded when it is called."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from graft.cli.command_group import CommandGroup
from graft.cli.settings import CONTEXT_SETTINGS, Settings, common_options
from graft.cli.terminal import (
    StdoutError,
    end_by_closed_pipe,
    leave_stdout,
    prepared_streams,
    print_error,
)
from graft.errors import GraftError

if TYPE_CHECKING:
    from types import FrameType

# Exit status of the contract.
INTERRUPTED = 130


class CommandEntry(NamedTuple):
    """A command of `graft`.

    Attributes:
        name: the name that users type.
        module: in `graft.cli.commands`; its `command` is called.
        summary: the line of `graft --help`, which imports no command.
        section: its heading there.
    """

    name: str
    module: str
    summary: str
    section: str


_HIT, _PATCH, _AFTERWARDS, _OTHER, _PLUMBING, _START = SECTIONS = (
    "Are we hit",
    "Patch",
    "Afterwards",
    "Other ways",
    "Plumbing",
    "Start",
)
"""The headings of `graft --help`, in their order."""

COMMANDS = (
    CommandEntry("affected", "affected", "Show all on this machine that leads to a package.", _HIT),
    CommandEntry("why", "why", "Show the chain of references from a root to a path.", _HIT),
    CommandEntry("scan", "scan", "Show every reference in files and store paths.", _HIT),
    CommandEntry("plan", "plan", "Show the paths that apply would rewrite.", _PATCH),
    CommandEntry("apply", "apply", "Replace dependencies deep in closures: the whole job.", _PATCH),
    CommandEntry("batch", "batch", "Run many jobs from one file.", _PATCH),
    CommandEntry("verify", "verify", "Check the result of apply against its plan.", _PATCH),
    CommandEntry("status", "status", "Show the grafts, and where they are in force.", _AFTERWARDS),
    CommandEntry("ungraft", "ungraft", "Take a graft back.", _AFTERWARDS),
    CommandEntry("profile", "profile", "List, switch and delete generations.", _AFTERWARDS),
    CommandEntry("compare", "compare", "Compare all the ways on one closure.", _OTHER),
    CommandEntry("pivot", "pivot", "Let programs find other data at run time.", _OTHER),
    CommandEntry("mount", "mount", "Run a program with NEW mounted over OLD.", _OTHER),
    CommandEntry("fhs", "fhs", "Run a program in a root with /usr, /bin and /lib.", _OTHER),
    CommandEntry("diff", "diff", "Find the replacements between two package sets.", _OTHER),
    CommandEntry("rewrite", "rewrite", "Replace hash parts in a tree or a stream.", _PLUMBING),
    CommandEntry("store", "store", "Make an empty store.", _PLUMBING),
    CommandEntry("key", "key", "Make a signing key, or print its public half.", _PLUMBING),
    CommandEntry("demo", "demo", "Show a graft on a small store, made on the spot.", _START),
)
"""All commands, by section."""

_ENTRIES = {entry.name: entry for entry in COMMANDS}
_WORDS = {"help": "Show this help, or the help of a command.", "version": "Print the version."}


class _LazyGroup(CommandGroup):
    """Commands whose modules are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_ENTRIES)

    def words(self) -> list[str]:
        """The commands that may be meant."""
        return [*_ENTRIES, *_WORDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name == "help":
            return help_command
        if cmd_name == "version":
            return version_command
        entry = _ENTRIES.get(cmd_name)
        if entry is None:
            return None
        from importlib import import_module

        command = import_module(f"graft.cli.commands.{entry.module}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the summaries, for which click would import every command."""
        del ctx
        width = max(map(len, _ENTRIES))
        for section in SECTIONS:
            rows = [
                (entry.name.ljust(width), entry.summary)
                for entry in COMMANDS
                if entry.section == section
            ]
            if section == _START:
                rows += [(name.ljust(width), summary) for name, summary in _WORDS.items()]
            with formatter.section(section):
                formatter.write_dl(rows)


def _version_line() -> str:
    from graft.kernel import NAME
    from graft.version import VERSION

    return f"graft {VERSION} (kernel: {NAME})"


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    click.echo(_version_line())
    ctx.exit()


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    epilog="Example: graft apply --all-roots --replace openssl=./openssl-fixed",
    context_settings=CONTEXT_SETTINGS,
)
@common_options
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and the kernel in use.",
)
@click.pass_context
def graft_group(ctx: click.Context) -> None:
    """Patch deep dependencies in Nix and Guix stores without rebuilding."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@click.command("help", epilog="Example: graft help apply")
@click.argument("words", metavar="[COMMAND]", nargs=-1)
@common_options
@click.pass_context
def help_command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of graft, or of a command."""
    assert ctx.parent is not None
    place, command = ctx.parent, ctx.parent.command
    for word in words:
        if not isinstance(command, CommandGroup):
            raise click.UsageError(f"'{place.command_path}' has no commands", place)
        found = command.get_command(place, word)
        if found is None:
            raise command.no_such_command(place, word)
        place = click.Context(found, info_name=word, parent=place, **CONTEXT_SETTINGS)
        command = found
    click.echo(command.get_help(place))


@click.command("version", epilog="Example: graft version")
@common_options
def version_command() -> None:
    """Print the version, as `graft --version` does."""
    click.echo(_version_line())


def run(arguments: Sequence[str]) -> int:
    """Runs one command line.

    Returns:
        The exit status of the contract.
    """
    settings = Settings()

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        with prepared_streams():
            try:
                return _answer(list(arguments), settings)
            except StdoutError as trouble:
                return _without_output(trouble, settings)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _answer(arguments: list[str], settings: Settings) -> int:
    """The exit status of a command line; its errors are told.

    Raises:
        StdoutError: its output cannot be written.
    """
    try:
        status = _run(arguments, settings)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.exceptions.Abort):
        print("graft: interrupted", file=sys.stderr)
        return INTERRUPTED
    except click.ClickException as error:
        return _fail("usage", _sentence(error), {}, settings, arguments)
    except GraftError as error:
        return _fail(error.kind, error.message, error.fields, settings, arguments)
    except OSError as error:
        from graft.formats.error_object import system_message

        return _fail("system", system_message(error), {"errno": error.errno}, settings, arguments)
    except MemoryError:
        message = "this machine has no memory left for the work: give fewer --jobs, or more memory"
        return _fail("system", message, {"errno": errno.ENOMEM}, settings, arguments)
    except StdoutError:
        raise
    except Exception:  # noqa: BLE001 - a defect of ours: shown whole, and not as the answer "no"
        _print_traceback()
        return settings.trouble
    return status


def _run(arguments: list[str], settings: Settings) -> int:
    try:
        status = graft_group.main(arguments, prog_name="graft", standalone_mode=False, obj=settings)
    except (GraftError, OSError, MemoryError):
        if settings.verbosity >= 2:
            _print_traceback()
        raise
    except SystemExit:
        # click's answer to any closed pipe; its status would be the answer "no".
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
    return status if isinstance(status, int) else 0


def _without_output(trouble: StdoutError, settings: Settings) -> int:
    """The end of a command whose stdout takes no more: a closed pipe ends it as any program."""
    leave_stdout()
    if trouble.error.errno == errno.EPIPE:
        end_by_closed_pipe()
    print_error(str(trouble))
    return settings.trouble


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def _sentence(error: click.ClickException) -> str:
    """A sentence of click's in the form of graft's: lower case, one line, and the remedy."""
    message = " ".join(error.format_message().split()).removesuffix(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "graft"
    return f"{message[:1].lower()}{message[1:]}; see '{command} --help'"


def _fail(
    kind: str,
    message: str,
    fields: dict[str, Any],
    settings: Settings,
    arguments: Sequence[str],
) -> int:
    from graft.formats.error_object import error_object

    error = error_object({"kind": kind, "message": message, **fields})
    print_error(error["message"])
    # A usage error may stop click before it has read --json; after "--" it is not for graft.
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if settings.json or "--json" in own:
        from graft.cli.output import print_document

        print_document({"version": 1, "error": error})
        sys.stdout.flush()
    return settings.trouble

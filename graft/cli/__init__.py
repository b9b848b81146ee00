"""The command line: wiring only. Each command is a module of its own, loaded when it is called."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from graft.cli.settings import Settings, common_options
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
    """

    name: str
    module: str
    summary: str


COMMANDS = (
    CommandEntry("affected", "affected", "Show the roots of this machine that lead to a path."),
    CommandEntry("apply", "apply", "Replace dependencies deep in closures, without rebuilding."),
    CommandEntry("batch", "batch", "Run many jobs from one file."),
    CommandEntry("compare", "compare", "Compare graft, pivot, mount and rebuild on one closure."),
    CommandEntry("demo", "demo", "Show a graft on a small store, made on the spot."),
    CommandEntry("diff", "diff", "Find the replacements that turn one package set into another."),
    CommandEntry("fhs", "fhs", "Run a program in a root with /usr, /bin, /lib and /etc."),
    CommandEntry("key", "key", "Make a signing key, or print its public half."),
    CommandEntry("mount", "mount", "Run a program with NEW mounted over OLD."),
    CommandEntry("pivot", "pivot", "Let programs find other data at run time."),
    CommandEntry("plan", "plan", "Show the paths that `graft apply` would rewrite."),
    CommandEntry("profile", "profile", "List, switch and delete the generations of a profile."),
    CommandEntry("rewrite", "rewrite", "Replace hash parts in one tree or one stream."),
    CommandEntry("scan", "scan", "Show every reference in files, directories and store paths."),
    CommandEntry("status", "status", "Show the grafts of the store, and where they are in force."),
    CommandEntry("store", "store", "Make an empty store."),
    CommandEntry("ungraft", "ungraft", "Take a graft back."),
    CommandEntry("verify", "verify", "Check the result of `graft apply` against its plan."),
    CommandEntry("why", "why", "Show the chain of references from a root to a path."),
)
"""All commands, by name."""

_ENTRIES = {entry.name: entry for entry in COMMANDS}


class _LazyGroup(click.Group):
    """Commands whose modules are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
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
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.summary) for entry in COMMANDS])


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from graft.kernel import NAME
    from graft.version import VERSION

    click.echo(f"graft {VERSION} (kernel: {NAME})")
    ctx.exit()


@click.group(
    cls=_LazyGroup,
    no_args_is_help=False,
    epilog="Example: graft apply ./result --replace OLD=NEW --add-root ./patched",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
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
def graft_group() -> None:
    """Patch deep dependencies in Nix and Guix stores without rebuilding."""


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
        return _run(list(arguments), settings)
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
    except Exception:  # noqa: BLE001 - a defect of ours: shown whole, and not as the answer "no"
        _print_traceback()
        return settings.trouble
    finally:
        signal.signal(signal.SIGTERM, previous)


def _run(arguments: list[str], settings: Settings) -> int:
    try:
        status = graft_group.main(arguments, prog_name="graft", standalone_mode=False, obj=settings)
    except (GraftError, OSError, MemoryError):
        if settings.verbosity >= 2:
            _print_traceback()
        raise
    except SystemExit:
        # click's answer to a closed stdout; its status would be the answer "no".
        return settings.trouble
    return status if isinstance(status, int) else 0


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
    print(f"graft: error: {error['message']}", file=sys.stderr)
    # A usage error may stop click before it has read --json; after "--" it is not for graft.
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if settings.json or "--json" in own:
        from graft.cli.output import print_document

        print_document({"version": 1, "error": error})
    return settings.trouble

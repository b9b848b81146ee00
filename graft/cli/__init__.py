"""The command line: wiring only. Each command is a module of its own, loaded when it is called."""

from __future__ import annotations

import importlib
import json
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any

import click

from graft.cli.settings import Settings, common_options
from graft.errors import GraftError

# Exit status of the contract.
INTERRUPTED = 130

_COMMANDS = {
    "affected": "graft.cli.commands.affected",
    "apply": "graft.cli.commands.apply",
    "batch": "graft.cli.commands.batch",
    "compare": "graft.cli.commands.compare",
    "demo": "graft.cli.commands.demo",
    "diff": "graft.cli.commands.diff",
    "fhs": "graft.cli.commands.fhs",
    "key": "graft.cli.commands.key",
    "mount": "graft.cli.commands.mount",
    "pivot": "graft.cli.commands.pivot",
    "plan": "graft.cli.commands.plan",
    "profile": "graft.cli.commands.profile",
    "rewrite": "graft.cli.commands.rewrite",
    "scan": "graft.cli.commands.scan",
    "status": "graft.cli.commands.status",
    "store": "graft.cli.commands.store",
    "ungraft": "graft.cli.commands.ungraft",
    "verify": "graft.cli.commands.verify",
    "why": "graft.cli.commands.why",
}


class _LazyGroup(click.Group):
    """Commands whose modules are imported when they are called: most need much that others do
    not.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(_COMMANDS[cmd_name]).command
        assert isinstance(command, click.Command)
        return command


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from graft import __version__  # noqa: PLC0415 - late, as everything a command needs
    from graft.kernel import NAME  # noqa: PLC0415

    click.echo(f"graft {__version__} (kernel: {NAME})")
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
        place = f"'{error.filename}': " if error.filename is not None else ""
        message = f"{place}{(error.strerror or str(error)).lower()}"
        return _fail("system", message, {"errno": error.errno}, settings, arguments)
    except Exception:  # noqa: BLE001 - a defect of ours: shown whole, and not as the answer "no"
        traceback.print_exc()
        return settings.trouble
    finally:
        signal.signal(signal.SIGTERM, previous)


def _run(arguments: list[str], settings: Settings) -> int:
    try:
        status = graft_group.main(arguments, prog_name="graft", standalone_mode=False, obj=settings)
    except (GraftError, OSError):
        if settings.verbosity >= 2:
            traceback.print_exc()
        raise
    except SystemExit:
        # click's answer to a closed stdout; its status would be the answer "no".
        return settings.trouble
    return status if isinstance(status, int) else 0


def _sentence(error: click.ClickException) -> str:
    """A sentence of click's in the form of ours: lower case, one line, and what to do."""
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
    from graft.formats.file_name import printable_text  # noqa: PLC0415 - late, as all else

    def shown(value: Any) -> Any:
        if isinstance(value, str):
            return printable_text(value)
        if isinstance(value, list | tuple):
            return list(map(shown, value))
        return value

    error = {"kind": kind, "message": message, **fields}
    error = {name: shown(value) for name, value in error.items()}
    print(f"graft: error: {error['message']}", file=sys.stderr)
    # A usage error may stop click before it has read --json; after "--" it is not for graft.
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if settings.json or "--json" in own:
        print(json.dumps({"version": 1, "error": error}, indent=2))
    return settings.trouble

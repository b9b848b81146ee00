"""`graft demo`: the main job on a store made on the spot."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING

import click

from graft.cli.output import print_document
from graft.cli.settings import Settings, common_options
from graft.errors import UsageError

_NO_NATIVE_KERNEL = (
    "The native kernel is not built, so the slower one in Python does the work. To get it,\n"
    "install a C compiler and Python's headers (Debian: gcc, libc6-dev, python3-dev), then graft."
)

if TYPE_CHECKING:
    from graft.cli.demo import Chapter, DemoStep


@click.command("demo", epilog="Example: graft demo ./try-graft")
@click.argument("directory", metavar="[DIR]", required=False)
@click.option(
    "--store-only", is_flag=True, help="Make the store in DIR, and leave the rest to you."
)
@common_options
@click.pass_obj
def command(settings: Settings, directory: str | None, store_only: bool) -> int:
    """Show a graft on a small store of real programs, made on the spot; Nix is not needed.

    It ends with all the ways compared, on the terminal and in a page for a browser. Without DIR it
    happens in a temporary directory, which is removed in the end; the page stays. In DIR, which
    must be new or empty, everything stays, to be tried further.
    """
    from graft.cli.demo import PAGE, Chapter, DemoStep, find_compiler, prepared, tell
    from graft.kernel.native import load

    settings.start_log()
    if settings.store_url != "auto":
        raise UsageError("graft demo makes a store of its own: leave --store out")
    if store_only and directory is None:
        raise UsageError("--store-only makes a store that stays: say in which DIR")
    page = PAGE
    if directory is None:  # the page stays where the demo does not
        descriptor, page = tempfile.mkstemp(prefix="graft-demo-", suffix=".html")
        os.close(descriptor)
    steps: list[DemoStep] = []
    compiler = find_compiler()
    with prepared(directory) as place:
        if load() is None and not settings.json:
            click.echo(f"{_NO_NATIVE_KERNEL}\n")
        chapters = 0
        for part in tell(place, compiler, page, store_only=store_only):
            if isinstance(part, DemoStep):
                steps.append(part)
            else:
                chapters += 1
            if settings.json:
                continue
            if isinstance(part, Chapter):
                _print_chapter(chapters, part)
            else:
                _print_step(part)
        if settings.json:
            _print_json(place, compiler, steps)
        else:
            if not store_only:
                shown = page if directory is None else os.path.join(place, os.path.basename(page))
                click.secho("\nThe comparison as a page, for a browser:", bold=True)
                click.echo(f"\n  {shown}")
            if directory is not None:
                _print_next(place, store_only=store_only)
    return 0


def _print_chapter(number: int, chapter: Chapter) -> None:
    click.secho(f"{'' if number == 1 else chr(10)}{number}. {chapter.title}", bold=True)
    if chapter.remark:
        click.echo(chapter.remark)
    click.echo()


def _print_step(step: DemoStep) -> None:
    click.secho(f"$ {step.command}", fg="cyan")
    click.echo(step.output, nl=False)
    if step.status:
        click.secho(f"[status {step.status}]", dim=True)


def _print_json(place: str, compiler: str | None, steps: list[DemoStep]) -> None:
    print_document(
        {
            "version": 1,
            "directory": place,
            "compiler": compiler,
            "steps": [
                {"command": step.command, "status": step.status, "output": step.output}
                for step in steps
            ],
        }
    )


def _print_next(place: str, *, store_only: bool) -> None:
    """Names the next commands for a store that stays."""
    click.secho("\nIt is all still there. To go on:", bold=True)
    click.echo()
    programs = os.path.dirname(sys.executable)
    if shutil.which("graft") is None and os.path.exists(os.path.join(programs, "graft")):
        click.echo(f"  export PATH={shlex.quote(programs)}:$PATH")
    click.echo(f"  cd {place}")
    click.echo(f"  export NIX_STORE_DIR={place}/store NIX_STATE_DIR={place}/state")
    click.echo("  graft plan ./system --replace parse=./parse-1.1 --json")
    if not store_only:
        click.echo("  graft why ./patched parse --all")
    click.echo(f"  chmod -R u+w {place} && rm -r {place}    # when you have seen enough")

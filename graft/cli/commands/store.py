"""`graft store`: stores themselves."""

from __future__ import annotations

import os

import click

from graft.cli.command_group import CommandGroup
from graft.cli.output import print_document
from graft.cli.settings import Settings, common_options
from graft.store.local_store.schema import NIX, SCHEMAS


@click.group(
    "store",
    cls=CommandGroup,
    no_args_is_help=False,
    epilog="Example: graft store init /srv/my-store",
)
@common_options
def command() -> None:
    """Make a store."""


@command.command(
    "init", epilog="Example: graft store init 'local?store=/srv/store&state=/srv/state'"
)
@click.option(
    "--schema",
    type=click.Choice(list(SCHEMAS)),
    default=NIX.name,
    show_default=True,
    help="Whose tables the database gets: Guix's have no room for signatures.",
)
@click.argument("url", metavar="URL")
@common_options
@click.pass_obj
def init(settings: Settings, url: str, schema: str) -> int:
    """Make a new empty store that Nix itself can open, and print its directory.

    URL is an absolute directory (the store is then DIR/nix/store), local?root=DIR or
    local?store=DIR&state=DIR. A store in the layout of Guix needs the last.
    """
    from graft.store.local import LocalStore
    from graft.store.location import Location

    settings.start_log()
    location = Location.parse(url, os.environ)
    LocalStore.create(location, SCHEMAS[schema])
    if settings.json:
        print_document(
            {
                "version": 1,
                "url": location.url,
                "store_dir": str(location.store_dir),
                "real_store_dir": location.real_store_dir,
                "state_dir": location.state_dir,
            }
        )
    else:
        print(location.real_store_dir)
    return 0

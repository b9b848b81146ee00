"""`graft key`: keys that paths are signed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from graft.cli.command_group import CommandGroup
from graft.cli.output import print_document
from graft.cli.settings import Settings, common_options

if TYPE_CHECKING:
    from graft.formats.signature import PublicKey


@click.group(
    "key",
    cls=CommandGroup,
    no_args_is_help=False,
    epilog="Example: graft key generate cache.example.org-1 -o key",
)
@common_options
def command() -> None:
    """Make a key to sign with, or show its public key."""


@command.command(
    "generate",
    epilog="Example: graft key generate cache.example.org-1 -o /etc/nix/cache.secret",
)
@click.argument("name", metavar="NAME")
@click.option(
    "-o", "--output", "file", metavar="FILE", required=True, help="Where the secret key goes."
)
@common_options
@click.pass_obj
def generate(settings: Settings, name: str, file: str) -> int:
    """Make a key named NAME, and write its secret half into a new FILE of mode 0600.

    Prints the public key, for the trusted-public-keys of machines that are to take signed paths.
    Nix's own programs take both.
    """
    from graft.formats.signature import SecretKey
    from graft.store.trust import write_secret_key

    key = SecretKey.generate(name)
    write_secret_key(file, key)
    _show(key.public_key, settings, file=file)
    return 0


@command.command("public", epilog="Example: graft key public /etc/nix/cache.secret")
@click.argument("file", metavar="FILE")
@common_options
@click.pass_obj
def public(settings: Settings, file: str) -> int:
    """Print the public key that belongs to the secret key in FILE."""
    from graft.store.trust import read_secret_key

    _show(read_secret_key(file).public_key, settings, file=file)
    return 0


def _show(key: PublicKey, settings: Settings, *, file: str) -> None:
    if settings.json:
        print_document(
            {"version": 1, "name": key.name, "public_key": str(key), "file": file},
        )
    else:
        print(key)

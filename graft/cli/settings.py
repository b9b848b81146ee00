"""The options of every command, before and after its name, and their meaning."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from graft.store.kinds import KINDS, spoken_forms

if TYPE_CHECKING:
    from graft.store.api import Source
    from graft.store.local import LocalStore

# Exit status of the contract.
TROUBLE = 2

CONTEXT_SETTINGS: Final[dict[str, Any]] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
}
"""How help is asked for and shown."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """The values of the common options.

    Attributes:
        store_url: the store, `auto` if nothing was said.
        json: one JSON document on stdout instead of text.
        verbosity: how often -v was given; 2 shows tracebacks of errors.
        quiet: neither warnings nor progress.
        trouble: the exit status of an error; commands that end as another program have their own.
    """

    store_url: str = "auto"
    json: bool = False
    verbosity: int = 0
    quiet: bool = False
    trouble: int = TROUBLE

    def open_store(self) -> Source:
        """Opens the store, to be read, and if it is on this machine to be written.

        Raises:
            BadStoreUrlError, StoreError: the store is missing or cannot be read.
        """
        from graft.store.opening import open_store

        return open_store(self.store_url, os.environ)

    def open_local_store(self) -> LocalStore:
        """Opens the store, which must lie on this machine.

        Raises:
            BadStoreUrlError, StoreError: the store is missing or cannot be read.
        """
        from graft.store.opening import open_local_store

        return open_local_store(self.store_url, os.environ)

    def start_log(self) -> None:
        """Sends graft's log to stderr, from the level the options ask for."""
        import logging

        level = logging.ERROR if self.quiet else logging.WARNING
        if self.verbosity:
            level = logging.INFO if self.verbosity == 1 else logging.DEBUG
        logging.basicConfig(level=level, stream=sys.stderr, format="graft: %(message)s", force=True)
        if self.verbosity < 2:  # it tells of every try that comes again; the last is an error
            logging.getLogger("urllib3").setLevel(logging.ERROR)


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keeps an option that was given; a missing one leaves the value from before the command."""
    settings = ctx.ensure_object(Settings)
    if value is not None and value is not False and value != 0:
        assert parameter.name is not None
        setattr(settings, parameter.name, value)


def common_options(command: _Command) -> _Command:
    """Adds --store, --json, -v and -q to a command."""
    for option in (
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Neither warnings nor progress.",
        ),
        click.option(
            "-v",
            "--verbose",
            "verbosity",
            count=True,
            expose_value=False,
            callback=_remember,
            help="Say more; -vv also shows where an error came from.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Print one JSON document.",
        ),
        click.option(
            "--store",
            "store_url",
            metavar="URL",
            expose_value=False,
            callback=_remember,
            help=f"The store: {spoken_forms(KINDS)}.",
        ),
    ):
        command = option(command)
    return command


def gather(kind: str, name: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Hands the options that are called as fields of a dataclass to a command as one value of it.

    Fields that no option is called as keep their defaults.

    Args:
        kind: the dataclass, as `MODULE:CLASS`: it is imported when the command is called.
        name: the command's parameter.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def with_value(*arguments: Any, **options: Any) -> int:
            module, _, place = kind.partition(":")
            made = getattr(import_module(module), place)
            names = [field.name for field in fields(made)]
            values = {each: options.pop(each) for each in names if each in options}
            return command(*arguments, **{name: made(**values)}, **options)

        return with_value

    return decorate

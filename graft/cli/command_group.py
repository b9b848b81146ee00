"""Groups of commands that suggest, and commands whose help shows the usual options first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

_HELP_ALL = "--help-all"


class CommandGroup(click.Group):
    """A group that names the commands most like a mistyped one."""

    def words(self) -> Sequence[str]:
        """The commands that may be meant."""
        return list(self.commands)

    def no_such_command(self, ctx: click.Context, name: str) -> click.UsageError:
        """The error about a mistyped command."""
        from difflib import get_close_matches

        near = get_close_matches(name, self.words(), 2, 0.6)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        return click.UsageError(f"there is no command {name!r}{hint}", ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the words; a mistyped one gets a suggestion."""
        name = str(args[0])
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise self.no_such_command(ctx, name)
        return super().resolve_command(ctx, args)


class UsualOptions(click.Command):
    """A command whose `--help` shows some options by subject; `--help-all` shows all of them.

    Args:
        usual: the headings, and the options below each.
    """

    def __init__(self, *arguments: Any, usual: Mapping[str, Sequence[str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._usual = usual
        self._whole = False
        self.params.append(
            click.Option(
                [_HELP_ALL],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=self._show_all,
                help=f"Show all {len(self.params) - 1} options.",
            )
        )

    def _show_all(self, ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            self._whole = True
            click.echo(ctx.get_help())
            ctx.exit()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the usual options, or all."""
        if self._whole:
            super().format_options(ctx, formatter)
            return
        records = {
            option: record
            for parameter in self.get_params(ctx)
            if (record := parameter.get_help_record(ctx)) is not None
            for option in parameter.opts
        }
        for heading, names in {**self._usual, "More": (_HELP_ALL, "--help")}.items():
            with formatter.section(heading):
                formatter.write_dl([records[name] for name in names])

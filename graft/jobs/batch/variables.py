"""`${NAME}` in the texts of a jobs file: secrets stand in the environment and not in files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_VARIABLE: Final = re.compile(r"\$(\$?)\{([^{}]*)(\}?)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Shorter ones are no secrets, and stand by chance in any text.
_SHORTEST_SECRET: Final = 4


class Variables:
    """The environment, and which of its values may not be shown.

    Args:
        environment: names and values.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._hidden: dict[str, str] = {}

    def expand(self, text: str, *, hide: bool = False) -> str:
        """Puts values in the place of `${NAME}`; `$${` stands for `${`.

        Args:
            hide: the values may not be shown from now on.

        Raises:
            ValueError: a name is not a name, or has no value; the message says which, and no value.
        """

        def value(found: re.Match[str]) -> str:
            escaped, name, end = found.groups()
            if escaped:
                return found[0][1:]
            if not end or not _NAME.fullmatch(name):
                raise ValueError(
                    "'${' begins no name of a variable: say ${NAME}, or $${ for itself"
                )
            if name not in self._environment:
                raise ValueError(f"the environment variable '{name}' is not set")
            value = self._environment[name]
            if hide and len(value) >= _SHORTEST_SECRET:
                self._hidden[value] = f"${{{name}}}"
            return value

        return _VARIABLE.sub(value, text)

    def hide(self, text: str) -> str:
        """The text with `${NAME}` again in the place of each value that may not be shown."""
        if not self._hidden:
            return text
        longest_first = sorted(self._hidden, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)), self._name, text)

    def hide_in(self, value: Any) -> Any:
        """A JSON value with `hide` applied to every text in it that is no key."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {key: self.hide_in(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide_in(inner) for inner in value]
        return value

    def _name(self, found: re.Match[str]) -> str:
        return self._hidden[found[0]]

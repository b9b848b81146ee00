"""Writes the tables of reference/stores.md from the list of kinds; `--check` only compares."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

from generated import keep_current

from graft.store.kinds import KINDS

PAGE = Path(__file__).parent / "reference" / "stores.md"
_BLOCK = r"(?<=<!-- {0} -->\n).*?(?=<!-- end of {0} -->)"


def kinds() -> str:
    rows = [
        f"| `{form}` | {meaning} | {kind.written} |"
        for kind in KINDS
        for form, meaning in kind.forms.items()
    ]
    return "\n".join(["", "| URL | meaning | written |", "|---|---|---|", *rows, ""])


def parameters() -> str:
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for kind in KINDS:
        for name, meaning in kind.parameters.items():
            found[name, meaning] += [scheme for scheme in kind.schemes if scheme.isalnum()]
    rows = [
        f"| `{name}` | {', '.join(f'`{one}`' for one in schemes if one != 'auto')} | {meaning} |"
        for (name, meaning), schemes in found.items()
    ]
    return "\n".join(["", "| parameter | of | meaning |", "|---|---|---|", *rows, ""])


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("kinds", kinds()), ("parameters", parameters())):
        block = re.compile(_BLOCK.format(name), re.DOTALL)
        text = block.sub(lambda _, table=table: f"{table}\n", text)
    return keep_current(PAGE, text)


if __name__ == "__main__":
    sys.exit(main())

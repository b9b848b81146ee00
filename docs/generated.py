"""Pages of which a part is generated: written again, or with `--check` only compared."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path


def keep_current(page: Path, text: str, level: Callable[[str], str] = str) -> int:
    """Writes a page, or says whether it is current; the exit status.

    Args:
        page: the file.
        text: what is to be in it.
        level: takes out of a text what may differ.
    """
    if "--check" not in sys.argv[1:]:
        page.write_text(text, encoding="utf-8")
    elif level(page.read_text(encoding="utf-8")) != level(text):
        script = Path(sys.argv[0]).name
        print(f"{page} is not current: run 'python {script}'", file=sys.stderr)
        return 1
    return 0

"""Writes the table in explanation/fidelity.md: every sample is made, grafted and judged.

Takes a minute, and the programs whose files the samples are. `--check` only compares.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from generated import keep_current

from tests.fidelity.table import table

PAGE = Path(__file__).parent / "explanation" / "fidelity.md"
_BLOCK = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def main() -> int:
    made = table()
    page = PAGE.read_text(encoding="utf-8")
    return keep_current(PAGE, _BLOCK.sub(lambda _: f"\n{made}\n", page))


if __name__ == "__main__":
    sys.exit(main())

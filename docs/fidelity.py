"""Writes the table in explanation/fidelity.md: every sample is made, grafted and judged.

Takes a minute, and the programs whose files the samples are. `--check` only compares.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.fidelity.table import table

PAGE = Path(__file__).parent / "explanation" / "fidelity.md"
_BLOCK = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def main() -> int:
    before = PAGE.read_text(encoding="utf-8")
    made = table()
    after = _BLOCK.sub(lambda _: f"\n{made}\n", before)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(after, encoding="utf-8")
    elif before != after:
        print(f"{PAGE} is not current: run 'python {Path(__file__).name}'", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

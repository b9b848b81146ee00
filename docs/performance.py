"""Fills the figures in explanation/performance.md from the JSON files in explanation/performance/.

`python -m benchmarks --output docs/explanation/performance` measures them anew. What is made here
stands between `<!-- table SUITE TITLE -->`, `<!-- notes SUITE -->`, `<!-- targets -->` or
`<!-- machine -->` and `<!-- end -->`. `--check` only compares.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from generated import keep_current

from benchmarks import results
from benchmarks.measure import Report, Table

PAGE = Path(__file__).parent / "explanation" / "performance.md"
FIGURES = PAGE.with_suffix("")

_PART = re.compile(
    r"<!-- (machine|targets|notes|table)((?: [^ \n]+)*) -->\n.*?<!-- end -->", re.DOTALL
)


class Figures:
    """All that was measured, by suite."""

    def __init__(self) -> None:
        loaded = [results.load(file) for file in sorted(FIGURES.glob("*.json"))]
        self._reports = {report.suite: report for report, _ in loaded}
        self._machines = {report.suite: machine for report, machine in loaded}

    def filled(self, part: re.Match[str]) -> str:
        kind, words = part[1], part[2].split(maxsplit=1)
        begin = part[0].split("\n", 1)[0]
        if kind == "machine":
            text = _machine(self._machines)
        elif kind == "targets":
            text = _targets(self._reports)
        elif kind == "notes":
            text = "".join(f"- {note}\n" for note in self._reports[words[0]].notes)
        else:
            text = _tables(self._reports[words[0]], words[1])
        return f"{begin}\n\n{text}\n<!-- end -->"


def _machine(machines: dict[str, dict[str, str]]) -> str:
    """What they have in common, and what differs with the suites it is true of."""
    lines = []
    for what in next(iter(machines.values())):
        suites: dict[str, list[str]] = {}
        for suite, machine in machines.items():
            suites.setdefault(machine[what], []).append(suite)
        for value, names in suites.items():
            lines.append(
                f"- {what}: {value}" + (f" ({', '.join(names)})" if len(suites) > 1 else "")
            )
    return "".join(f"{line}\n" for line in lines)


def _tables(report: Report, title: str) -> str:
    """The table whose title begins so."""
    return _table(next(one for one in report.tables if one.title.startswith(title)))


def _table(table: Table) -> str:
    if table.unit == "%":
        shares = "".join(f"| {one.name} | {one.median:.0f} |\n" for one in table.figures[1:])
        return f"{table.title}:\n\n| | % |\n|---|---:|\n{shares}"
    head = (
        f"| | median, {table.unit} | least to most | of {table.baseline} |\n|---|---:|---:|---:|\n"
    )
    rows = [
        f"| {one.name.replace('|', chr(92) + '|')} | {_number(one.median)}"
        f" | {_number(min(one.values))} to {_number(max(one.values))}"
        f" | {table.ratio(one.name):.2f} |\n"
        for one in table.figures
    ]
    return f"{table.title}:\n\n{head}{''.join(rows)}"


def _targets(reports: dict[str, Report]) -> str:
    rows = [
        f"| {name} | {target.claim.replace('|', chr(92) + '|')} | {_number(target.value)}"
        f" | {'at most' if target.at_most else 'at least'} {target.limit:g}"
        f" | {'met' if target.met else '**missed**'} |\n"
        for name, report in reports.items()
        for target in report.targets
    ]
    return f"| suite | | measured | target | |\n|---|---|---:|---:|---|\n{''.join(rows)}"


def _number(value: float) -> str:
    """Three significant digits."""
    digits = 2 - len(str(int(abs(value)))) + (1 if abs(value) >= 1 else 0)
    return f"{value:.{max(0, digits)}f}" if abs(value) >= 1 else f"{value:.3f}"


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    return keep_current(PAGE, _PART.sub(Figures().filled, page))


if __name__ == "__main__":
    sys.exit(main())

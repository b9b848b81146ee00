"""What was measured, as tables on a terminal and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .measure import Curve, Figure, Report, Table, Target


def tables(report: Report) -> str:
    """A report as text: its tables, its notes, and each target met or missed."""
    return "\n".join(
        [
            *(f"\n{_table(table)}" for table in report.tables),
            *(f"\n{_curve(curve)}" for curve in report.curves),
            *(f"\nnote: {note}" for note in report.notes),
            *(["", _targets(report.targets)] if report.targets else []),
        ]
    )


def _table(table: Table) -> str:
    width = max(len(figure.name) for figure in table.figures)
    lines = [
        f"{table.title} [{table.unit}]",
        f"{'':{width}} {'median':>10} {'least':>10} {'most':>10} {'runs':>5} {'ratio':>8}",
    ]
    lines += [
        f"{figure.name:{width}} {figure.median:10.3f} {min(figure.values):10.3f}"
        f" {max(figure.values):10.3f} {len(figure.values):5} {table.ratio(figure.name):8.2f}"
        for figure in table.figures
    ]
    return "\n".join(lines)


def _curve(curve: Curve) -> str:
    lines = [f"{curve.title} [s]"]
    for name, points in curve.lines.items():
        told = ", ".join(f"{x:g}: {seconds:.4f}" for x, seconds in points)
        lines.append(f"{name}, by {curve.x_label}: {told}")
    return "\n".join(lines)


def _targets(targets: list[Target]) -> str:
    width = max(len(target.claim) for target in targets)
    return "\n".join(
        f"{target.claim:{width}} {target.value:10.3f}"
        f" {'at most' if target.at_most else 'at least':8} {target.limit:g}"
        f"  {'met' if target.met else 'MISSED'}"
        for target in targets
    )


def save(report: Report, machine: dict[str, str], directory: Path) -> Path:
    """Writes a report as JSON; the file."""
    file = directory / f"{report.suite}.json"
    directory.mkdir(parents=True, exist_ok=True)
    document = {"version": 1, "machine": machine, **asdict(report)}
    file.write_text(json.dumps(_rounded(document), indent=1) + "\n", encoding="utf-8")
    return file


def load(file: Path) -> tuple[Report, dict[str, str]]:
    """A report and the machine it is of."""
    document = json.loads(file.read_text(encoding="utf-8"))
    report = Report(
        suite=document["suite"],
        tables=[
            Table(
                one["title"],
                one["unit"],
                tuple(Figure(f["name"], tuple(f["values"])) for f in one["figures"]),
                one["baseline"],
            )
            for one in document["tables"]
        ],
        targets=[Target(**one) for one in document["targets"]],
        curves=[
            Curve(
                one["title"],
                one["x_label"],
                {name: [(x, y) for x, y in points] for name, points in one["lines"].items()},
            )
            for one in document["curves"]
        ],
        notes=document["notes"],
    )
    return report, document["machine"]


def _rounded(value: Any) -> Any:
    """Six significant digits are more than any clock is worth."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return value

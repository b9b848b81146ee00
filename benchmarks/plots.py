"""The plots of what was measured, as SVG: the same figures give the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from . import results
from .measure import Curve, Table

_BAR = 0.28  # inches
_DRAWN = {"scan", "worst", "trees", "job"}
_OURS, _OTHERS = "#1f6f8b", "#b8b8b8"
_SETTINGS: dict[Any, Any] = {"svg.hashsalt": "graft", "svg.fonttype": "none", "font.size": 9}


def draw(directory: Path) -> list[Path]:
    """Draws what there is in a directory of JSON files, next to them."""
    made = []
    curves: list[Curve] = []
    with mpl.rc_context(_SETTINGS):
        for file in sorted(directory.glob("*.json")):
            report, _ = results.load(file)
            curves += report.curves
            bars = [table for table in report.tables if table.unit in {"s", "GB/s"}]
            if bars and report.suite in _DRAWN:
                made.append(_save(_bars(bars), directory / f"{report.suite}.svg"))
        if curves:
            made.append(_save(_growth(curves), directory / "growth.svg"))
    return made


def _save(canvas: Canvas, file: Path) -> Path:
    canvas.savefig(file, metadata={"Date": None})
    return file


def _bars(tables: list[Table]) -> Canvas:
    heights = [len(table.figures) + 3 for table in tables]
    canvas = Canvas(figsize=(7.5, _BAR * sum(heights)), layout="constrained")
    plots = canvas.subplots(len(tables), 1, squeeze=False, height_ratios=heights)[:, 0]
    for plot, table in zip(plots, tables, strict=True):
        names = [figure.name for figure in table.figures]
        values = [figure.median for figure in table.figures]
        least = [f.median - min(f.values) for f in table.figures]
        most = [max(f.values) - f.median for f in table.figures]
        ours = [name.startswith("graft") or name[0].isdigit() for name in names]
        plot.barh(
            names,
            values,
            xerr=[least, most],
            color=[_OURS if own else _OTHERS for own in ours],
            error_kw={"linewidth": 0.8, "ecolor": "#555555"},
        )
        plot.invert_yaxis()
        plot.set_title(table.title, loc="left", fontsize=9)
        plot.set_xlabel(table.unit)
        if max(values) > 30 * min(values):
            plot.set_xscale("log")
        _clean(plot)
    return canvas


def _growth(curves: list[Curve]) -> Canvas:
    rows = (len(curves) + 1) // 2
    canvas = Canvas(figsize=(7.5, 2.6 * rows), layout="constrained")
    plots = list(canvas.subplots(rows, 2, squeeze=False).flat)
    for unused in plots[len(curves) :]:
        unused.set_axis_off()
    for plot, curve in zip(plots, curves, strict=False):
        for name, points in curve.lines.items():
            plot.loglog(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        least, most = plot.get_ylim()
        plot.set_ylim(min(least, most / 30), most)  # what is flat shall look flat
        plot.set_title(curve.title, loc="left", fontsize=9)
        plot.set_xlabel(curve.x_label)
        plot.set_ylabel("s")
        plot.legend(frameon=False)
        _clean(plot)
    return canvas


def _clean(plot: Any) -> None:
    plot.spines[["top", "right"]].set_visible(False)

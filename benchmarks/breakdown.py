"""Where the time of one program goes: by perf's samples, and by strace's count of system calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from .bench import Bench, have, quietly
from .measure import Figure, Table

_WHOLE = "all samples"
_OBJECTS = (
    ("the kernel", re.compile(r"^\[")),
    ("graft's native code", re.compile(r"^_native")),
    ("SHA-256 (libcrypto)", re.compile(r"^(libcrypto|_hashlib)")),
    ("Python", re.compile(r"^(lib)?python")),
)


def profile(
    bench: Bench, title: str, command: Sequence[str | Path], clean: Callable[[], object]
) -> Table | None:
    """The shares of processor time by whose code it was spent in; None without perf."""
    if not have("perf"):
        return None
    samples = bench.disk / "perf.data"
    record = ["perf", "record", "-q", "-F", "999", "-e", "cpu-clock", "-o", samples, *command]
    try:
        quietly(record)
        told = quietly(["perf", "report", "-i", samples, "--stdio", "-q", "--sort", "dso"])
    except RuntimeError as error:
        bench.say(f"perf does not work here: {error}")
        return None
    finally:
        clean()
    shares: dict[str, float] = {}
    for percent, name in re.findall(r"([0-9.]+)%\s+(\S+)", told.decode()):
        whose = next((who for who, what in _OBJECTS if what.match(name)), "other libraries")
        shares[whose] = shares.get(whose, 0) + float(percent)
    figures = [Figure(whose, (share,)) for whose, share in shares.items()]
    return Table(title, "%", (Figure(_WHOLE, (sum(shares.values()),)), *figures), _WHOLE)


def system_calls(
    bench: Bench, command: Sequence[str | Path], files: int, clean: Callable[[], object]
) -> str:
    """How many system calls of which kind a program makes for each of so many files."""
    if not have("strace"):
        return "no strace, so nobody counted system calls"
    counts = bench.disk / "calls"
    try:
        quietly(["strace", "-f", "-c", "-o", counts, *command])
    except RuntimeError as error:
        return f"strace did not work: {error}"
    finally:
        clean()
    found = {
        row[-1]: int(row[3])
        for row in map(str.split, counts.read_text().splitlines())
        if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"
    }
    often = {name: count for name, count in found.items() if count >= files / 20}
    listed = ", ".join(
        f"{name} {count / files:.2f}" for name, count in sorted(often.items(), key=lambda c: -c[1])
    )
    return f"system calls for each of {files} files: {sum(found.values()) / files:.2f} ({listed})"

"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from graft.kernel import NAME

from .bench import have, processors, quietly
from .compiled import compiler


def machine() -> dict[str, str]:
    """The machine and the programs, each with its version; no name of a host."""
    found = {
        "processor": f"{proc_value('/proc/cpuinfo', 'model name')}, {processors()} usable",
        "memory": f"{int(proc_value('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "kernel": f"Linux {platform.release()}",
        "python": platform.python_version(),
        "graft's kernel": NAME,
        "compiler": _first_line([compiler(), "--version"]),
    }
    if have("nix-store"):
        found["nix"] = _first_line(["nix-store", "--version"])
    if have("cp"):
        found["coreutils"] = _first_line(["cp", "--version"])
    return found


def proc_value(file: str, key: str) -> str:
    """What a file of /proc says of a key; else only the architecture is known."""
    text = Path(file).read_text(encoding="utf-8", errors="replace")
    match = re.search(rf"^{key}\s*:\s*(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else os.uname().machine


def _first_line(command: list[str]) -> str:
    return quietly(command).decode().splitlines()[0]

"""A program whose symbols are in a file of their own, made on the spot."""

from __future__ import annotations

import subprocess
from pathlib import Path


def with_detached_symbols(path: str, directory: Path) -> tuple[bytes, bytes]:
    """A program and its file of symbols, `tool.debug`, both of which name a store path.

    Needs gcc and objcopy.
    """
    source, program, debug = (directory / name for name in ("tool.c", "tool", "tool.debug"))
    source.write_text(f'const char *path = "{path}"; int main(void) {{ return 0; }}')
    flags = [f"-fdebug-prefix-map={directory}={path}", "-g"]
    commands: list[list[str | Path]] = [
        ["gcc", *flags, source, "-o", program],
        ["objcopy", "--only-keep-debug", program, debug],
        ["objcopy", "--strip-debug", f"--add-gnu-debuglink={debug}", program],
    ]
    for command in commands:
        subprocess.run(command, check=True, cwd=directory)
    return program.read_bytes(), debug.read_bytes()

"""Python byte code, as Debian's maintainer scripts would make it."""

import os
import subprocess

from .layout import Layout
from .release import PYTHON, PYTHON_PACKAGES

# Test files that are no valid Python, on purpose.
_EXCLUDED = "lib2to3/tests|bad_coding|badsyntax"


def compile_all(name: str, layout: Layout) -> None:
    """Compiles the outputs' Python modules with the store's own Python."""
    directories = [
        f"{root}/{place}"
        for root in layout.outputs.values()
        for place in (f"lib/{PYTHON}", PYTHON_PACKAGES)
        if os.path.isdir(f"{root}/{place}")
    ]
    python: str | None
    if name == PYTHON:
        python = f"{layout.outputs['out']}/bin/{PYTHON}"
    elif any(directory.endswith(PYTHON_PACKAGES) for directory in directories):
        python = layout.lookup(f"/usr/bin/{PYTHON}", "out")
    else:
        return
    if python is None:
        return
    for directory in directories:
        _stamp(directory, tuple(layout.outputs.values()))
    # Unsandboxed builds inherit nothing, but whoever tests with PYTHONDONTWRITEBYTECODE in the
    # environment would get no byte code at all; and sets in constants are ordered by hash.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    compiler = [python, "-S", "-m", "compileall", "-q", "-j", "1", "-x", _EXCLUDED]
    subprocess.run([*compiler, *directories], env=environment, check=False)


def _stamp(directory: str, roots: tuple[str, ...]) -> None:
    """Gives sources the time the store will give them, which byte code records."""
    for place, _, names in os.walk(directory):
        for name in names:
            if not name.endswith(".py"):
                continue
            # A module may be a link out of the directory (sitecustomize.py leads to etc/): what
            # counts is the time of the file behind it, if that is ours.
            path = os.path.realpath(os.path.join(place, name))
            if os.path.exists(path) and path.startswith(roots):
                os.utime(path, (1, 1))

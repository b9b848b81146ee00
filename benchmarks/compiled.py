"""The benchmarks' own C programs, compiled when they are needed."""

from __future__ import annotations

import ctypes.util
import os
import re
import sysconfig
from pathlib import Path

from .bench import ROOT, quietly

_HERE = Path(__file__).parent
_NATIVE = ROOT / "graft" / "native"
_PYTHON = re.compile(rb'#include [<"](Python|table)\.h')


def compiler() -> str:
    """The C compiler, as the one that built the extension is called."""
    return os.environ.get("CC") or (sysconfig.get_config_var("CC") or "cc").split()[0]


def compile_floor(directory: Path) -> Path:
    """floor.c, with the part of graft's native code that knows no Python."""
    sources = [s for s in sorted(_NATIVE.glob("*.c")) if not _PYTHON.search(s.read_bytes())]
    return _compile([_HERE / "floor.c", *sources], directory / "floor", f"-I{_NATIVE}")


def compile_hash_files(directory: Path) -> Path:
    """hash_files.c, which loads the libcrypto that is there, and needs no headers of it."""
    library = ctypes.util.find_library("crypto") or "libcrypto.so.3"
    flags = (f'-DLIBCRYPTO="{library}"', "-pthread", "-ldl")
    return _compile([_HERE / "hash_files.c"], directory / "hash_files", *flags)


def _compile(sources: list[Path], program: Path, *flags: str) -> Path:
    if not program.exists():
        standard = ("-std=c11", "-O3", "-D_GNU_SOURCE", "-Wall", "-Wextra")
        quietly([compiler(), *standard, *sources, *flags, "-o", program])
    return program

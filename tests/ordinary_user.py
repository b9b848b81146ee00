"""Tests of what an ordinary user meets, also where the tests themselves run as root."""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import graft

_NOBODY = 65534


def as_ordinary_user(test: Callable[..., None]) -> Callable[..., None]:
    """Runs a test as nobody, in a child process, where it would run as root; its tmp_path is
    given to nobody.
    """

    @functools.wraps(test)
    def run(*, tmp_path: Path, **fixtures: object) -> None:
        if os.geteuid() != 0:
            test(tmp_path=tmp_path, **fixtures)
            return
        # Nobody must be able to walk down to it, and bubblewrap 0.12 to open what it walks through.
        for parent in list(tmp_path.parents)[::-1]:
            if parent.owner() == "root" and parent.stat().st_mode & 0o005 != 0o005:
                parent.chmod(parent.stat().st_mode | 0o055)
        os.chown(tmp_path, _NOBODY, _NOBODY)
        _import_all()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)
                test(tmp_path=tmp_path, **fixtures)
                status = 0
            except BaseException:  # noqa: BLE001 - the child has no pytest above it
                traceback.print_exc(file=sys.__stderr__)  # what capsys has is lost
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    return run


@functools.cache
def _import_all() -> None:
    """Imports graft's modules before the user changes, for not everybody may read a checkout."""
    for encoding in ("ascii", "utf_16_be", "utf_16_le", "utf_32_be", "utf_32_le", "latin_1"):
        importlib.import_module(f"encodings.{encoding}")
    for module in pkgutil.walk_packages(graft.__path__, "graft."):
        if module.name != "graft.__main__":
            importlib.import_module(module.name)

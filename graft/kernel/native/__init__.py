"""The optional C extension: the matcher and the walk over one directory tree."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from graft.errors import KernelError

if TYPE_CHECKING:
    from types import ModuleType

_NAME = f"{__name__}._native"


def load() -> ModuleType | None:
    """The extension, or None where it was not built.

    Raises:
        KernelError: it is there but cannot be loaded: damaged, or made for another system.
    """
    try:
        return import_module(_NAME)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == _NAME:
            return None
        raise KernelError(
            f"the native kernel is there but cannot be loaded ({error}):"
            " reinstall graft, or set GRAFT_KERNEL=reference",
            reason=str(error),
        ) from error

"""The optional C extension: the matcher and the walk over one directory tree."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from types import ModuleType

_NAME = f"{__name__}._native"


def load() -> ModuleType | None:
    """The extension, or None where it was not built.

    Raises:
        KernelError: it is there but cannot be loaded: damaged, or made for another system.
    """
    try:
        __import__(_NAME)  # importlib would cost an import of its own
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == _NAME:
            return None
        from graft.errors import KernelError  # noqa: PLC0415 - late: nothing else needs it

        raise KernelError(
            f"the native kernel is there but cannot be loaded ({error}):"
            " reinstall graft, or set GRAFT_KERNEL=reference",
            reason=str(error),
        ) from error
    return sys.modules[_NAME]

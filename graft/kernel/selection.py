"""Which kernel is in use: the native one where it was built, else the reference.

Little is imported here: `graft --version` needs no more of the kernel than its name.
"""

from __future__ import annotations

import os

from graft.kernel.native import load

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from types import ModuleType

    from graft.errors import KernelError


def _demanded() -> tuple[ModuleType | None, str]:
    """The extension if it is to be used, and its variant; KernelError if that cannot be met."""
    demand = os.environ.get("GRAFT_KERNEL", "")
    kernel, _, variant = demand.partition(":")
    if kernel not in {"", "native", "reference"} or (variant and kernel != "native"):
        raise _unmet(
            f"GRAFT_KERNEL is '{demand}', but there are only 'native', 'native:VARIANT' and "
            "'reference'",
            demand,
        )
    if kernel == "reference":
        return None, ""
    module = load()
    if module is None:
        if demand:
            raise _unmet(
                "GRAFT_KERNEL demands the native kernel, which was not built: install graft where"
                " there is a C compiler, or unset GRAFT_KERNEL",
                demand,
            )
        return None, ""
    variants = module.variants()
    if variant and variant not in variants:
        raise _unmet(
            f"GRAFT_KERNEL demands the variant '{variant}', but this machine runs only "
            f"{' and '.join(variants)}: set one of these, or unset GRAFT_KERNEL",
            demand,
        )
    return module, variant or variants[0]


def _unmet(message: str, demand: str) -> KernelError:
    from graft.errors import KernelError  # noqa: PLC0415 - late: nothing else needs it

    return KernelError(message, demanded=demand)


native, variant = _demanded()
"""The extension in use, or None; and its variant."""

NAME = "reference" if native is None else f"native {variant}"
"""The kernel in use, for `graft --version`."""

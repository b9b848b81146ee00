"""graft: patches deep dependencies in Nix and Guix stores without rebuilding.

The public interface; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from graft.version import VERSION

if TYPE_CHECKING:
    from graft.closure import Closure
    from graft.content_naming import realise
    from graft.errors import GraftError
    from graft.executor import Execution, execute
    from graft.formats.store_path import StoreDir, StorePath
    from graft.job import apply
    from graft.outcome import Outcome
    from graft.plan import Plan
    from graft.proof import Proof, prove
    from graft.store.binary_cache import BinaryCache
    from graft.store.local import LocalStore
    from graft.store.memory import MemoryStore
    from graft.store.writable_cache import WritableCache

_HOMES = {
    "BinaryCache": "graft.store.binary_cache",
    "Closure": "graft.closure",
    "Execution": "graft.executor",
    "GraftError": "graft.errors",
    "LocalStore": "graft.store.local",
    "MemoryStore": "graft.store.memory",
    "Outcome": "graft.outcome",
    "Plan": "graft.plan",
    "Proof": "graft.proof",
    "StoreDir": "graft.formats.store_path",
    "StorePath": "graft.formats.store_path",
    "WritableCache": "graft.store.writable_cache",
    "apply": "graft.job",
    "execute": "graft.executor",
    "prove": "graft.proof",
    "realise": "graft.content_naming",
}

__all__ = [
    "BinaryCache",
    "Closure",
    "Execution",
    "GraftError",
    "LocalStore",
    "MemoryStore",
    "Outcome",
    "Plan",
    "Proof",
    "StoreDir",
    "StorePath",
    "WritableCache",
    "apply",
    "execute",
    "prove",
    "realise",
]

__version__ = VERSION


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'graft' has no attribute '{name}'")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value

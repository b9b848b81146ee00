"""graft: patches deep dependencies in Nix and Guix stores without rebuilding.

The public interface; each name is loaded when it is first used.
"""

from __future__ import annotations

from graft.version import VERSION

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from graft.check.proof import Proof, prove
    from graft.errors import GraftError
    from graft.executor import Execution, execute
    from graft.executor.content_names import realise
    from graft.formats.store_path import StoreDir, StorePath
    from graft.jobs.apply import apply
    from graft.jobs.outcome import Outcome
    from graft.plan import Plan
    from graft.plan.closure import Closure
    from graft.store.binary_cache import BinaryCache
    from graft.store.local import LocalStore
    from graft.store.memory import MemoryStore
    from graft.store.writable_cache import WritableCache

_HOMES = {
    "BinaryCache": "graft.store.binary_cache",
    "Closure": "graft.plan.closure",
    "Execution": "graft.executor",
    "GraftError": "graft.errors",
    "LocalStore": "graft.store.local",
    "MemoryStore": "graft.store.memory",
    "Outcome": "graft.jobs.outcome",
    "Plan": "graft.plan",
    "Proof": "graft.check.proof",
    "StoreDir": "graft.formats.store_path",
    "StorePath": "graft.formats.store_path",
    "WritableCache": "graft.store.writable_cache",
    "apply": "graft.jobs.apply",
    "execute": "graft.executor",
    "prove": "graft.check.proof",
    "realise": "graft.executor.content_names",
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
    from importlib import import_module  # noqa: PLC0415 - late, with all its imports

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value

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
    from graft.machine.affected import affected
    from graft.objects.scan import scan
    from graft.plan import Plan
    from graft.plan.closure import Closure, why
    from graft.store.binary_cache import BinaryCache
    from graft.store.local import LocalStore
    from graft.store.memory import MemoryStore
    from graft.store.writable_cache import WritableCache
    from graft.ways.compare.comparison import compare

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
    "affected": "graft.machine.affected",
    "apply": "graft.jobs.apply",
    "compare": "graft.ways.compare.comparison",
    "execute": "graft.executor",
    "prove": "graft.check.proof",
    "realise": "graft.executor.content_names",
    "scan": "graft.objects.scan",
    "why": "graft.plan.closure",
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
    "affected",
    "apply",
    "compare",
    "execute",
    "prove",
    "realise",
    "scan",
    "why",
]

__version__ = VERSION


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'graft' has no attribute '{name}'")
    from importlib import import_module  # noqa: PLC0415 - late, with all its imports

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value

"""Plans carried out: every path of them made by threads or other machines, and registered.

The executor never decides which paths are made. The target store is its journal: a valid path is
not made again, so that the same command finishes an interrupted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from graft.errors import GraftError
from graft.executor.cache_maker import CacheMaker, Made
from graft.executor.delivery import DEFAULT_DELIVERY, Compression, Delivery
from graft.executor.into_cache import OnEnd, make_into_cache
from graft.executor.into_store import make_into_store
from graft.executor.work import Done, Execution, Work
from graft.formats.store_path import StorePath
from graft.plan import Plan
from graft.store.api import LocalTarget, RelayedTarget, Source, Target
from graft.store.writable_cache import WritableCache
from graft.workers import DEFAULT_RESOURCES, Resources

__all__ = [
    "CacheMaker",
    "Compression",
    "Delivery",
    "Done",
    "Execution",
    "Work",
    "carry_out",
    "execute",
    "make_into_cache",
    "make_into_store",
]


def execute(
    plan: Plan, *, source: Source, target: Target, jobs: int | None = None, **delivery: Any
) -> Execution:
    """Makes and registers every new path of a plan, and every other missing path of the result.

    Args:
        source: as for `carry_out`.
        target: as for `carry_out`.
        jobs: threads; the number of usable processors if None.
        delivery: attributes of a `Delivery`; None for a default.

    Raises: as `carry_out`.
    """
    how = Delivery(**{name: value for name, value in delivery.items() if value is not None})
    return Execution.of(plan, carry_out([plan], source, target, how, Resources(jobs=jobs)))


def carry_out(
    plans: Sequence[Plan],
    source: Source,
    target: Target,
    delivery: Delivery = DEFAULT_DELIVERY,
    resources: Resources = DEFAULT_RESOURCES,
    *,
    keep_going: bool = False,
    on_end: OnEnd | None = None,
) -> Done:
    """Makes and registers the paths of some plans, each once, and every other missing path.

    Until the target is closed the new closures are kept from collectors, and so are the plans'
    roots and NEWs. New paths for a daemon go to it at the end, all at once.

    Args:
        source: the store of the originals and the shared paths; a NAR from a cache is always
            compared with its narinfo.
        target: the store of the new closure; if it is on this machine, the NAR hash of each path
            that is not valid there is compared before use.
        delivery: how it is written.
        resources: the workers; a cluster writes only into a cache.
        keep_going: do without the paths that fail, and without the paths above them.
        on_end: called when a path of a cache is made, or could not be.

    Raises:
        CorruptOriginalError, CorruptCacheError: an original differs from its registration.
        TreeError, StoreError, CacheError: a path cannot be read, written or registered. Paths
            registered before stay; nothing else is left. If the error is about a single path, only
            if not `keep_going`.
    """
    if isinstance(target, RelayedTarget):
        target.protect(root for plan in plans for root in plan.new_roots.values())
        with target.receiving(repair=delivery.repair) as cache:
            here = replace(resources, cluster=None)  # no other machine sees the temporary cache
            return carry_out(plans, source, cache, delivery, here, keep_going=keep_going)
    work = Work.of(plans, source, target)
    target.protect(work.protected)
    if isinstance(target, WritableCache):
        with resources.task_pool("graft", work.nar_bytes) as tasks:
            maker = CacheMaker(
                source=source,
                target=target,
                search=work.search,
                compression=delivery.compression,
                check_inputs=delivery.check_inputs,
                progress=tasks.progress,
            )

            def ended(path: StorePath, end: Made | GraftError) -> None:
                if on_end is not None:
                    on_end(path, end)
                tasks.ended(work.nar_size(path) if path in work.items else 0)

            return make_into_cache(
                work, maker, tasks, delivery, keep_going=keep_going, on_end=ended
            )
    assert isinstance(target, LocalTarget)
    with resources.workers("graft", work.nar_bytes) as workers:
        return make_into_store(work, source, target, workers, delivery, keep_going=keep_going)

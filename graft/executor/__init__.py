"""Plans carried out: every path of them made by threads or other machines, and registered.

The executor never decides what is done. The target store is its journal: what is valid there is
not made again, so that the same command finishes what an interrupted one began.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from graft.executor.cache_maker import CacheMaker, Compression
from graft.executor.into_cache import make_into_cache
from graft.executor.into_store import make_into_store
from graft.executor.work import Done, Execution, Work
from graft.formats.signature import SecretKey
from graft.plan import Plan
from graft.store.api import LocalTarget, Source, Target
from graft.store.daemon import DaemonStore
from graft.store.writable_cache import WritableCache
from graft.workers import Workers

__all__ = [
    "CacheMaker",
    "Compression",
    "Done",
    "Execution",
    "Work",
    "carry_out",
    "execute",
    "make_into_cache",
    "make_into_store",
]


def execute(plan: Plan, **options: Any) -> Execution:
    """Makes and registers every new path of a plan, and what else of the result is missing.

    Options and errors are those of `carry_out`.
    """
    return Execution.of(plan, carry_out([plan], **options))


def carry_out(
    plans: Sequence[Plan],
    *,
    source: Source,
    target: Target,
    jobs: int | None = None,
    links: bool = True,
    check_inputs: bool = False,
    repair: bool = False,
    sign_keys: Collection[SecretKey] = (),
    compression: Compression | None = None,
    keep_going: bool = False,
    on_bytes: Callable[[int], object] | None = None,
) -> Done:
    """Makes and registers what some plans want, each path once, and what else is missing of it.

    Until the target is closed the new closures are kept from collectors, and so are the plans'
    roots and NEWs. What a daemon is to write goes to it at the end, all at once.

    Args:
        source: where the originals and the shared paths are read; a NAR from a cache is always
            compared with what the cache says of it.
        target: where the new closure is to be; if it is on this machine, the NAR hash of what is
            not valid there is always compared before it is used.
        jobs: threads; the number of usable processors if None.
        links: whether unchanged files may be hard links to the original's.
        check_inputs: compare each original's bytes with its registered NAR hash first.
        repair: read the new paths that are valid, and make again those whose bytes are wrong.
        sign_keys: sign what is made and fetched, beside the signatures there are.
        compression: of the NARs in a target that is a cache; None is zstd's default.
        keep_going: do without the paths that fail, and without those above them.
        on_bytes: called from any thread with the number of NAR bytes done since the last call.

    Raises:
        CorruptOriginalError, CorruptCacheError: an original is not what was registered.
        TreeError, StoreError, CacheError: a path cannot be read, written or registered. What was
            registered before stays; nothing else is left. If it is about a single path, only if
            not `keep_going`.
    """
    if isinstance(target, DaemonStore):
        target.protect(root for plan in plans for root in plan.new_roots.values())
        with target.receiving(repair=repair) as cache:
            return carry_out(
                plans,
                source=source,
                target=cache,
                jobs=jobs,
                check_inputs=check_inputs,
                sign_keys=sign_keys,
                compression=compression,
                keep_going=keep_going,
                on_bytes=on_bytes,
            )
    work = Work.of(plans, source, target)
    target.protect(work.protected)
    with Workers(jobs, on_bytes) as workers:
        if isinstance(target, WritableCache):
            maker = CacheMaker(
                source=source,
                target=target,
                search=work.search,
                compression=compression or Compression(),
                check_inputs=check_inputs,
                progress=workers.progress,
            )
            return make_into_cache(
                work,
                maker,
                workers.pool.submit,
                workers.jobs,
                repair=repair,
                sign_keys=sign_keys,
                keep_going=keep_going,
            )
        assert isinstance(target, LocalTarget)
        return make_into_store(
            work,
            source,
            target,
            workers,
            links=links,
            check_inputs=check_inputs,
            repair=repair,
            sign_keys=sign_keys,
            keep_going=keep_going,
        )

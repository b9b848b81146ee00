"""The check as a plan shows it: nothing is downloaded for it without a request."""

from __future__ import annotations

from graft.check.abi.breaks import AbiCheck
from graft.check.abi.check import check_abi
from graft.check.abi.store_contents import StoreContents
from graft.plan import Plan
from graft.store.api import Source
from graft.store.objects import NarObject


def forecast_abi(
    plan: Plan, source: Source, contents: StoreContents, *, download: bool
) -> AbiCheck:
    """Checks a plan that is only shown.

    Args:
        source: where the originals and every NEW are.
        contents: the contents of the source's objects.
        download: read NARs that are not on this machine too. Otherwise, where one of the paths to
            be rewritten is such a NAR, nothing is checked at all, and the result says so: which of
            them have programs in them shows in their bytes alone.

    Raises:
        TreeError, CacheError, CorruptCacheError, BadFormatError: an object cannot be read.
    """
    if not download:
        size = _remote_bytes(plan, source)
        if size:
            return AbiCheck(store_dir=plan.store_dir, not_downloaded=size)
    return check_abi(plan, source, contents)


def _remote_bytes(plan: Plan, source: Source) -> int:
    """How large the NARs to be read are at least that are not on this machine, unpacked."""
    size = 0
    for rewrite in plan.rewrites:
        item = source.store_object(rewrite.path)
        if isinstance(item, NarObject) and not item.cache.url.startswith("file:"):
            size += rewrite.nar_size
    return size

"""`nix store make-content-addressed` as a peer: the rewriter Nix itself has, for names only."""

from __future__ import annotations

import time
from pathlib import Path

from graft.kernel.tree import remove_tree
from tests.debpkgs.store import PrivateStore

from .bench import Bench, have, quietly
from .machine import proc_value

_NEEDED = 12e9  # bytes: it holds the archive in memory, several times


def make_content_addressed(bench: Bench, tree: Path) -> tuple[float | None, str]:
    """Seconds it takes for a tree in a store of its own, once; and what there is to say."""
    if not have("nix"):
        return None, "nix is not installed, so make-content-addressed was left out"
    free = 1024 * int(proc_value("/proc/meminfo", "MemAvailable").split()[0])
    if free < _NEEDED and not bench.quick:
        return None, f"make-content-addressed was left out, for only {free / 1e9:.0f} GB are free"
    directory = bench.memory / "nix"
    try:
        store = PrivateStore.under(directory)
        path = quietly(["nix-store", "--add", tree], environment=store.env).decode().strip()
        begin = time.perf_counter()
        quietly(["nix", "store", "make-content-addressed", path], environment=store.env)
        seconds = time.perf_counter() - begin
    except RuntimeError as error:
        return None, f"make-content-addressed did not work: {error}"
    finally:
        remove_tree(directory)
    return seconds, "make-content-addressed was run once, in a store in memory"

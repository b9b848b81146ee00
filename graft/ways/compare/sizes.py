"""How many bytes a graft has written and shared, also if it was there before."""

from __future__ import annotations

import os
from collections.abc import Iterator

from graft.jobs.outcome import Outcome
from graft.store.api import LocalSource


def written_and_shared(outcome: Outcome, store: LocalSource) -> tuple[int, int]:
    """Contents of the new paths' files that were written, and that are shared with the originals.

    For paths that were there before, the files on disk decide: a file that is no hard link to one
    of the original's was written, even if its blocks are shared.

    Returns:
        Two numbers of bytes.
    """
    execution = outcome.execution
    written, shared = execution.bytes_written, execution.bytes_shared
    for rewrite in outcome.plan.rewrites:
        if rewrite.new_path in execution.resumed:
            inodes = {file.st_ino for file in _regular_files(store.tree(rewrite.path))}
            for file in _regular_files(store.tree(rewrite.new_path)):
                if file.st_ino in inodes:
                    shared += file.st_size
                else:
                    written += file.st_size
    return written, shared


def _regular_files(tree: str) -> Iterator[os.stat_result]:
    if os.path.isfile(tree) and not os.path.islink(tree):
        yield os.lstat(tree)
    for directory, _, names in os.walk(tree):
        for name in names:
            file = os.path.join(directory, name)
            if not os.path.islink(file):
                yield os.lstat(file)

"""Checksums of files that a graft changes, kept as text in other files."""

from graft.objects.checksums.finder import (
    ALGORITHMS,
    ChangedFile,
    Checksum,
    ChecksumFinder,
    Digests,
    digests_of,
)
from graft.objects.checksums.repair import ChecksumPlace, Repair, repair_tree, search_tree

__all__ = [
    "ALGORITHMS",
    "ChangedFile",
    "Checksum",
    "ChecksumFinder",
    "ChecksumPlace",
    "Digests",
    "Repair",
    "digests_of",
    "repair_tree",
    "search_tree",
]

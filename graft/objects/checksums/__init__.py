"""Checksums of files that a graft changes, kept as text in other files."""

from graft.objects.checksums.finder import ChangedFile, Checksum, ChecksumFinder, digests_of
from graft.objects.checksums.repair import ChecksumPlace, Repair, repair_tree, search_tree

__all__ = [
    "ChangedFile",
    "Checksum",
    "ChecksumFinder",
    "ChecksumPlace",
    "Repair",
    "digests_of",
    "repair_tree",
    "search_tree",
]

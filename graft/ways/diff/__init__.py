"""Two package sets or closures compared: the packages to be replaced, and their followers."""

from graft.ways.diff.comparison import compare_packages
from graft.ways.diff.difference import Difference
from graft.ways.diff.document import difference_document
from graft.ways.diff.packages import Package, PackageSet

__all__ = [
    "Difference",
    "Package",
    "PackageSet",
    "compare_packages",
    "difference_document",
]

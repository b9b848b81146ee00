"""Two package sets or closures held against each other: what must be replaced, and what follows."""

from graft.diff.comparison import compare_packages
from graft.diff.document import difference_document
from graft.diff.packages import Package, PackageSet
from graft.diff.values import Difference

__all__ = [
    "Difference",
    "Package",
    "PackageSet",
    "compare_packages",
    "difference_document",
]

"""Real Nix store closures of real programs, made from Debian packages, for tests and benchmarks."""

from .built import Built, build_pair, large, small
from .store import NixError, PrivateStore, missing_tools
from .variants import Variant

__all__ = [
    "Built",
    "NixError",
    "PrivateStore",
    "Variant",
    "build_pair",
    "large",
    "missing_tools",
    "small",
]

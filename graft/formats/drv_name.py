"""Names of packages with their versions, split and compared as Nix does.

Source: `DrvName` and `compareVersions` in names.cc of Nix (src/libexpr, later src/libstore), which
are `builtins.parseDrvName` and `builtins.compareVersions`; Nix manual, nix-env, "--upgrade".
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Final

# Dots and dashes only separate; between them, a run of digits is a component and anything else is.
_COMPONENT: Final = re.compile(r"[0-9]+|[^0-9.-]+")
_VERSION: Final = re.compile(r"-(?=[^A-Za-z])", re.DOTALL)
_LARGEST_NUMBER: Final = 2**31 - 1  # digits that do not fit into a C++ int are no number for Nix


def split_drv_name(text: str) -> tuple[str, str]:
    """Name and version: the version begins behind the first dash that no letter follows.

    Returns:
        An empty version if there is no such dash.
    """
    name, *version = _VERSION.split(text, maxsplit=1)
    return name, version[0] if version else ""


def compare_versions(left: str, right: str) -> int:
    """Less than 0 if `left` is the older version, more than 0 if it is the newer one, else 0.

    Numbers are compared as such, and come after words: `2.3a` is older than `2.3.1`. `pre` is older
    than anything, even than nothing: `2.3pre1` comes before `2.3`.
    """
    components = zip_longest(_COMPONENT.findall(left), _COMPONENT.findall(right), fillvalue="")
    for one, other in components:
        if _is_older(one, other):
            return -1
        if _is_older(other, one):
            return 1
    return 0


def _is_older(one: str, other: str) -> bool:
    number, other_number = _number(one), _number(other)
    if number is not None and other_number is not None:
        return number < other_number
    if one == "" and other_number is not None:
        return True
    if one == "pre" and other != "pre":
        return True
    if other == "pre":
        return False
    if other_number is not None:
        return True
    if number is not None:
        return False
    return one < other


def _number(component: str) -> int | None:
    if not component or component[0] not in "0123456789":
        return None
    digits = component.lstrip("0") or "0"
    if len(digits) > len(str(_LARGEST_NUMBER)) or int(digits) > _LARGEST_NUMBER:
        return None
    return int(digits)

"""nix-cache-info: the description of a binary cache.

Source: BinaryCacheStore::init in src/libstore/binary-cache-store.cc of Nix. A text of lines
`KEY: VALUE`; keys that are not known are ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from graft.errors import BadFormatError
from graft.formats.store_path import StoreDir

CACHE_INFO_FILE: Final = "nix-cache-info"
"""Its name in the cache."""

_PRIORITY: Final = re.compile(r"-?[0-9]{1,9}")
_DIRECTORY: Final = re.compile(r"(?:/[^/\x00-\x1f\x7f]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInfo:
    """The fields of the text.

    Attributes:
        store_dir: the logical store directory of every path in the cache.
        want_mass_query: whether it may be asked for many paths that it may not have.
        priority: caches of a lower one are asked first; None where the cache names no priority.
    """

    store_dir: StoreDir
    want_mass_query: bool | None = None
    priority: int | None = None


def parse_cache_info(text: str, name: str) -> CacheInfo:
    """Reads a nix-cache-info.

    Args:
        name: the text's name in errors.

    Raises:
        BadFormatError: it has another form, says one thing twice, or names no store directory.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        key, colon, value = line.partition(":")
        if not colon or not line.isprintable():
            raise _error(name, f"line {number} is not 'KEY: VALUE' in printable characters")
        if key in values:
            raise _error(name, f"line {number} is a second '{key}'")
        values[key] = value.strip(" ")
    store_dir = values.get("StoreDir", "")
    components = store_dir.split("/")
    if not _DIRECTORY.fullmatch(store_dir) or "." in components or ".." in components:
        raise _error(name, "'StoreDir' is not there, or no absolute directory")
    if values.get("WantMassQuery", "0") not in {"0", "1"}:
        raise _error(name, "'WantMassQuery' is neither 0 nor 1")
    if not _PRIORITY.fullmatch(values.get("Priority", "0")):
        raise _error(name, "'Priority' is no number")
    return CacheInfo(
        store_dir=StoreDir(store_dir),
        want_mass_query=values["WantMassQuery"] == "1" if "WantMassQuery" in values else None,
        priority=int(values["Priority"]) if "Priority" in values else None,
    )


def print_cache_info(info: CacheInfo) -> str:
    """Writes a nix-cache-info; with a store directory only, as Nix itself does."""
    text = f"StoreDir: {info.store_dir}\n"
    if info.want_mass_query is not None:
        text += f"WantMassQuery: {int(info.want_mass_query)}\n"
    if info.priority is not None:
        text += f"Priority: {info.priority}\n"
    return text


def _error(name: str, what: str) -> BadFormatError:
    return BadFormatError(f"nix-cache-info of '{name}': {what}", name=name)

"""The loader of an FHS root: the place of its cache, and the cache's contents.

Programs made for other systems find their libraries through ld.so.cache, not LD_LIBRARY_PATH: that
would go before the search path of every program from the store, and give it libraries that are not
its own. Loaders built by Nix and Guix read a cache in their own package; each has the place in its
bytes.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable

from graft.formats.elf import loader_cache
from graft.formats.elf.loader_cache import ELF_HEADER_SIZE, flags_of_kind, library_flags
from graft.ways.namespace.view import View

# Sources: sysdeps/unix/sysv/linux/*/shlib-versions and ldconfig.h of glibc.
_LOADERS = {
    "aarch64": "ld-linux-aarch64.so.1",
    "armv7l": "ld-linux-armhf.so.3",
    "i686": "ld-linux.so.2",
    "ppc64le": "ld64.so.2",
    "riscv64": "ld-linux-riscv64-lp64d.so.1",
    "s390x": "ld64.so.1",
    "x86_64": "ld-linux-x86-64.so.2",
}
_LIBRARY = re.compile(r".+\.so(?:\.[^/]+)?|ld-.+\.so\.[0-9]+")


# The machines whose programs another machine runs as well, with 32 bits to an address.
_NARROW = {"x86_64": 3, "aarch64": 40}
_NARROW_LOADERS = {"x86_64": "ld-linux.so.2", "aarch64": "ld-linux-armhf.so.3"}


def loader_name() -> str | None:
    """The name of the loader in programs of this machine's kind, without a directory."""
    return _LOADERS.get(platform.machine())


def narrow_loader_name() -> str | None:
    """The name of the loader in the 32-bit programs that this machine runs as well."""
    return _NARROW_LOADERS.get(platform.machine())


def is_narrow(directory: str) -> bool:
    """Whether a directory has libraries for 32-bit programs only, of a kind that this machine runs.

    Its directories of such a name as i386-linux-gnu count.

    Args:
        directory: where it lies.
    """
    machine = _NARROW.get(platform.machine())
    narrow = False
    if machine is None:
        return False
    below = [entry.path for entry in os.scandir(directory) if "-linux-" in entry.name]
    for place in (directory, *below):
        if not os.path.isdir(place):
            continue
        for name in os.listdir(place):
            flags = _flags(f"{place}/{name}") if _LIBRARY.fullmatch(name) else None
            if flags is None:
                continue
            if flags != flags_of_kind(1, machine):
                return False
            narrow = True
    return narrow


def cache_place(loader: str) -> str | None:
    """The place where a loader looks for its cache; None if it has no cache.

    Args:
        loader: where its file lies.
    """
    with open(loader, "rb") as stream:
        found = loader_cache.cache_place(stream.read())
    return os.fsdecode(found) if found is not None else None


def cache_of(directories: Iterable[str], view: View) -> bytes:
    """The cache of some directories of a namespace, of which the first to have a library is taken.

    A file's name stands for its soname, as every package has its libraries under theirs.
    """
    libraries: dict[tuple[str, int], str] = {}
    for directory in directories:
        for name in sorted(os.listdir(view.outside(directory))):
            path = f"{directory}/{name}"
            if _LIBRARY.fullmatch(name) and (flags := _flags(view.outside(path))) is not None:
                libraries.setdefault((name, flags), path)
    return loader_cache.loader_cache(libraries)


def _flags(file: str) -> int | None:
    try:
        with open(file, "rb") as stream:
            return library_flags(stream.read(ELF_HEADER_SIZE))
    except OSError:
        return None

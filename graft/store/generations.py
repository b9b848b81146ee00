"""Profiles found by the links of their generations, wherever somebody keeps profiles.

Source: Nix manual, "Profiles". A directory of profiles has others in it: `per-user/NAME`, and on
NixOS `system-profiles` and `per-container/NAME`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from typing import Final

from graft.formats.store_path import StoreDir
from graft.store.profile import Profile

_GENERATION_LINK: Final = re.compile(r"(.+)-[0-9]+-link", re.DOTALL)


def profile_of_generation(link: str, store_dir: StoreDir) -> Profile | None:
    """The profile that has a link for a generation; None if this is no such link's name."""
    directory, name = os.path.split(link)
    match = _GENERATION_LINK.fullmatch(name)
    return Profile(os.path.join(directory, match[1]), store_dir) if match else None


def find_profiles(
    directory: str, store_dir: StoreDir, on_unreadable: Callable[[str], object]
) -> Iterator[Profile]:
    """The profiles in a directory and below it, in the order of their names.

    Whatever has a generation is a profile, whether or not it leads to one.

    Args:
        directory: need not exist.
        on_unreadable: told of each directory that this user may not read.
    """
    names: set[str] = set()
    below = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                elif (match := _GENERATION_LINK.fullmatch(entry.name)) and entry.is_symlink():
                    names.add(match[1])
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            on_unreadable(directory)
        return
    for name in sorted(names):
        yield Profile(os.path.join(directory, name), store_dir)
    for place in sorted(below):
        yield from find_profiles(place, store_dir, on_unreadable)

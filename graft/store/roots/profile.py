"""Profiles: a link to the current generation, and a link for each generation.

Source: Nix manual, "Profiles"; src/libstore/profiles.cc of Nix. Generation 7 of a profile `P` is
`P-7-link`, a symlink to a store path, and `P` is a symlink to that link. Nix locks `P.lock` as it
locks store paths.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from graft.errors import ProfileError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.local_store.locks import give_to_owner, path_locks
from graft.store.local_store.schema import takes_record_locks
from graft.store.roots.roots import add_root, link_target, replace_symlink

_GENERATION_LINK: Final = re.compile(r"(.+)-[0-9]+-link", re.DOTALL)


def profile_of_generation(link: str, store_dir: StoreDir) -> Profile | None:
    """The profile of a generation's link, if the link has such a name."""
    directory, name = os.path.split(link)
    match = _GENERATION_LINK.fullmatch(name)
    return Profile(os.path.join(directory, match[1]), store_dir) if match else None


def find_profiles(
    directory: str, store_dir: StoreDir, on_unreadable: Callable[[str], object]
) -> Iterator[Profile]:
    """The profiles in a directory and below it, in the order of their names.

    Every path with a generation is a profile, even if it leads to no generation.

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


_DAY: Final = 24 * 60 * 60

_WHICH: Final = "give numbers, 'old', a number of days such as 30d, or +N for the N newest to keep"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Generation:
    """One generation of a profile.

    Attributes:
        number: from 1, or 0 for the empty one to which Guix rolls back; never used twice while
            the generation exists.
        link: the absolute path of its link.
        target: the full store path that it leads to.
        time: when the link was made, in seconds since 1970.
    """

    number: int
    link: str
    target: str
    time: int


class Profile:
    """A profile, which need not exist yet.

    Args:
        path: its link, or a link to that, such as ~/.nix-profile.
        store_dir: no link is followed into the store.
    """

    def __init__(self, path: str, store_dir: StoreDir) -> None:
        self._store_dir = store_dir
        self.path = os.path.abspath(path)
        while (text := link_target(self.path)) is not None:
            target = os.path.join(os.path.dirname(self.path), text)
            beside = os.path.dirname(target) == os.path.dirname(self.path)
            own = beside and self._number(target) is not None
            if own or store_dir.contains(target) or link_target(target) is None:
                break
            self.path = os.path.normpath(target)

    def _lock(self) -> AbstractContextManager[None]:
        return path_locks([self.path], records=takes_record_locks(self._store_dir))

    def _number(self, link: str) -> int | None:
        """The number of the generation whose link this is, if it is one of this profile's."""
        name = re.escape(os.path.basename(self.path))
        match = re.fullmatch(rf"{name}-([0-9]+)-link", os.path.basename(link))
        return int(match[1]) if match else None

    def generations(self) -> list[Generation]:
        """Its generations, oldest first.

        Raises:
            ProfileError: the directory cannot be read.
        """
        directory = os.path.dirname(self.path)
        try:
            names = os.listdir(directory)
        except OSError as error:
            raise ProfileError(
                f"cannot read the directory '{directory}' of the profile: {error.strerror or ''}",
                path=self.path,
            ) from error
        found = []
        for name in names:
            link = os.path.join(directory, name)
            number = self._number(name)
            target = link_target(link) if number is not None else None
            if number is None or target is None:
                continue
            made = int(os.lstat(link).st_mtime)
            found.append(Generation(number=number, link=link, target=target, time=made))
        return sorted(found)

    @property
    def current(self) -> int | None:
        """The number of the current generation, if the profile leads to one."""
        target = link_target(self.path)
        return self._number(target) if target is not None else None

    def check(self) -> None:
        """Makes sure that a generation could be added; changes nothing.

        Raises:
            ProfileError: something else is there, or the directory may not be written.
        """
        directory = os.path.dirname(self.path)
        if link_target(self.path) is None and os.path.lexists(self.path):
            raise ProfileError(f"'{self.path}' is no profile: it is not a symlink", path=self.path)
        if not os.path.isdir(directory):
            raise ProfileError(
                f"there is no directory '{directory}' for the profile", path=self.path
            )
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ProfileError(f"you may not write the directory '{directory}'", path=self.path)

    def switch(self, path: StorePath, state_dir: str) -> Generation:
        """Makes a path the current generation, at once.

        The newest generation is taken again if it is this path already, as Nix does. The
        generation's link is a garbage collector root before the profile leads to it.

        Args:
            state_dir: profiles below its `profiles` are roots by themselves.
        """
        with self._lock():
            generations = self.generations()
            full = self._store_dir.path(path)
            newest = generations[-1] if generations else None
            if newest is not None and newest.target == full:
                link, number = newest.link, newest.number
            else:
                number = newest.number + 1 if newest is not None else 1
                link = f"{self.path}-{number}-link"
            # A generation that is there already may lack its root: a process that made both may
            # have been killed between the two.
            if not self.path.startswith(f"{state_dir}/profiles/"):
                add_root(link, path, self._store_dir, state_dir)
            elif newest is None or link != newest.link:
                replace_symlink(link, full)
                give_to_owner(os.path.dirname(link), link)
            made = int(os.lstat(link).st_mtime)
            generation = Generation(number=number, link=link, target=full, time=made)
            self._lead_to(generation)
        return generation

    def _lead_to(self, generation: Generation) -> None:
        replace_symlink(self.path, os.path.basename(generation.link))

    def switch_back(self, number: int | None = None) -> Generation:
        """Makes a generation that exists the current one, at once.

        Args:
            number: which one; the one before the current if None.

        Raises:
            ProfileError: there is no such generation, or this user may not.
        """
        self.check()
        with self._lock():
            generations = self.generations()
            current = self.current
            if number is not None:
                found = [one for one in generations if one.number == number]
            else:
                found = [one for one in generations if current is not None and one.number < current]
            if not found:
                what = "older generation" if number is None else f"generation {number}"
                have = ", ".join(str(one.number) for one in generations) or "none"
                raise ProfileError(
                    f"the profile '{self.path}' has no {what}: there are {have}, and "
                    f"{'none' if current is None else current} is the current one",
                    path=self.path,
                    generations=[one.number for one in generations],
                    current=current,
                )
            self._lead_to(found[-1])
        return found[-1]

    def delete(
        self, which: Callable[[list[Generation], int | None], Collection[int]]
    ) -> list[Generation]:
        """Deletes generations; their targets stay until the garbage collector comes.

        Args:
            which: gives the numbers to delete, from all generations and the current one's number.

        Returns:
            The deleted generations, oldest first.

        Raises:
            ProfileError: the current one is among them, or this user may not.
        """
        self.check()
        with self._lock():
            generations = self.generations()
            current = self.current
            numbers = which(generations, current)
            if current in numbers:
                raise ProfileError(
                    f"generation {current} of the profile '{self.path}' is the current one: switch "
                    "to another first",
                    path=self.path,
                    current=current,
                )
            deleted = [one for one in generations if one.number in numbers]
            for generation in deleted:
                os.unlink(generation.link)
        return deleted


def generations_to_delete(
    words: Collection[str], now: int
) -> Callable[[list[Generation], int | None], set[int]]:
    """The generations that `nix-env --delete-generations` would delete, by its own words.

    `old` is every one but the current. `30d` are the generations that were no longer current 30
    days ago: the newest that is older than that was, and stays. `+5` keeps the current one and the
    four before it, and the newer ones.

    Args:
        words: the arguments of nix-env.
        now: in seconds since 1970.

    Returns:
        For `Profile.delete`.

    Raises:
        ProfileError: the words have no such form.
    """
    only = next(iter(words)) if len(words) == 1 else ""
    if only == "old":
        return lambda generations, current: {
            one.number for one in generations if one.number != current
        }
    if (days := re.fullmatch(r"([0-9]+)d", only)) and int(days[1]) > 0:
        before = now - int(days[1]) * _DAY
        return lambda generations, current: {
            one.number
            for one in [one for one in generations if one.time < before][:-1]
            if one.number != current
        }
    if (keep := re.fullmatch(r"\+([0-9]+)", only)) and int(keep[1]) > 0:
        most = int(keep[1])
        return lambda generations, current: {
            one.number
            for one in [
                one for one in generations if current is not None and one.number <= current
            ][:-most]
        }
    bad = [word for word in words if not re.fullmatch(r"[0-9]+", word)]
    if bad or not words:
        raise ProfileError(f"'{bad[0] if bad else ''}' says no generations: {_WHICH}")
    numbers = {int(word) for word in words}
    return lambda _generations, _current: numbers

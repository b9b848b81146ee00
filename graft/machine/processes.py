"""Running processes, and the store paths they hold: Nix calls these runtime roots.

Source: findRuntimeRoots in src/libstore of Nix; proc(5). Looked at are the program, the working
directory, open files, mapped files and the environment it was started with. Unlike Nix, which may
not collect more than there is, this also tells of files that have been deleted while in use.
"""

from __future__ import annotations

import os
import pwd
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from graft.errors import BadStorePathError
from graft.formats.store_path import StoreDir, StorePath

Use = Literal["exe", "maps", "fd", "cwd", "environ"]
"""How a process holds a path: runs it, has it mapped, open, as directory, or in its environment."""

_NAME: Final = rb"([0-9a-z]{32}-[0-9a-zA-Z+\-._?=]+)"
_UNIT: Final = re.compile(r"[^/]+\.(?:service|scope|socket|mount|swap)$")
_KERNEL_THREAD: Final = 0x00200000  # PF_KTHREAD of include/linux/sched.h
_KERNEL_FILES: Final = ("modprobe", "fbsplash", "poweroff_cmd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A running process that holds store paths.

    Attributes:
        program: its name, as the kernel has it: at most 15 characters.
        user: the name of its user, or the number if the user has no name.
        unit: the systemd unit it belongs to.
        uses: how it holds each path, be it valid or not.
    """

    pid: int
    program: str
    user: str
    unit: str | None
    uses: dict[StorePath, frozenset[Use]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The store paths that the processes of this machine hold.

    Attributes:
        found: the processes that hold something, by number.
        unreadable: how many could not be looked at, or not wholly: they belong to others.
    """

    found: tuple[Process, ...]
    unreadable: int


def find_processes(store_dir: StoreDir, real_store_dir: str, *, proc: str = "/proc") -> Processes:
    """Looks at every process of this machine but this one.

    Args:
        store_dir: as programs name it.
        real_store_dir: where the kernel sees it.
        proc: where it shows its processes.
    """
    search = _Search((store_dir, real_store_dir))
    found = []
    unreadable = 0
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdecimal()):
        if pid == os.getpid():
            continue
        place = f"{proc}/{pid}"
        uses, complete = search.uses(place)
        if not complete and not _has_no_program(place):
            unreadable += 1
        if uses:
            process = _described(pid, place, uses)
            if process is not None:
                found.append(process)
    return Processes(found=tuple(found), unreadable=unreadable)


def find_kernel_roots(store_dir: StoreDir, *, proc: str = "/proc") -> dict[str, StorePath]:
    """The programs the kernel itself would start: the file that names each, and the path."""
    found = {}
    for name in _KERNEL_FILES:
        file = f"{proc}/sys/kernel/{name}"
        try:
            with open(file, encoding="utf-8", errors="replace") as stream:
                found[file] = store_dir.first_path(stream.read().strip())
        except (OSError, BadStorePathError):
            continue
    return found


class _Search:
    """The search for store paths in the files of a process."""

    def __init__(self, directories: Iterable[str]) -> None:
        any_of = b"|".join(re.escape(os.fsencode(one)) for one in sorted(set(directories)))
        self._link = re.compile(rb"(?:%s)/%s" % (any_of, _NAME))
        # In no field before the path there is a slash.
        self._maps = re.compile(rb"^[^/\n]*(?:%s)/%s" % (any_of, _NAME), re.MULTILINE)

    def uses(self, place: str) -> tuple[dict[StorePath, frozenset[Use]], bool]:
        """The paths that a process holds, and whether it could be read wholly; a dead process holds
        nothing.
        """
        found: defaultdict[bytes, set[Use]] = defaultdict(set)
        complete = True
        for look in (self._links, self._texts):
            try:
                for use, name in look(place):
                    found[name].add(use)
            except PermissionError:
                complete = False
            except OSError:
                continue  # it has just ended
        uses = {}
        for name, ways in found.items():
            try:
                uses[StorePath(name.decode())] = frozenset(ways)
            except BadStorePathError:
                continue
        return uses, complete

    def _links(self, place: str) -> Iterator[tuple[Use, bytes]]:
        links: tuple[Use, ...] = ("exe", "cwd")
        for use in links:
            yield from self._led_to(use, f"{place}/{use}")
        for name in os.listdir(f"{place}/fd"):
            yield from self._led_to("fd", f"{place}/fd/{name}")

    def _led_to(self, use: Use, link: str) -> Iterator[tuple[Use, bytes]]:
        try:
            target = os.readlink(link)
        except FileNotFoundError:
            return  # closed, or the kernel's own thread, which has no program
        if match := self._link.match(os.fsencode(target)):
            yield use, match[1]

    def _texts(self, place: str) -> Iterator[tuple[Use, bytes]]:
        searches: tuple[tuple[Use, re.Pattern[bytes]], ...] = (
            ("maps", self._maps),
            ("environ", self._link),
        )
        for use, pattern in searches:
            with open(f"{place}/{use}", "rb") as stream:
                for name in set(pattern.findall(stream.read())):
                    yield use, name


def _described(pid: int, place: str, uses: dict[StorePath, frozenset[Use]]) -> Process | None:
    """The description of a process; None if it has just ended."""
    try:
        user = os.stat(place).st_uid
        with open(f"{place}/comm", encoding="utf-8", errors="replace") as stream:
            program = stream.read().rstrip("\n")
        with open(f"{place}/cgroup", encoding="utf-8", errors="replace") as stream:
            groups = stream.read()
    except OSError:
        return None
    return Process(
        pid=pid, program=program, user=_user_name(user), unit=systemd_unit(groups), uses=uses
    )


def systemd_unit(groups: str) -> str | None:
    """The innermost systemd unit of a process.

    Args:
        groups: the contents of its file `cgroup`, cgroups(7).
    """
    for line in groups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if (number, controllers) == ("0", "") or controllers == "name=systemd":
            for part in reversed(group.split("/")):
                if _UNIT.match(part):
                    return part
    return None


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _has_no_program(place: str) -> bool:
    """Whether it is a thread of the kernel's own, a dead process not waited for, or gone."""
    try:
        with open(f"{place}/stat", "rb") as stream:
            # The program's name is in parentheses, and may hold some itself.
            fields = stream.read().rpartition(b")")[2].split()
        return fields[0] in {b"Z", b"X"} or bool(int(fields[6]) & _KERNEL_THREAD)
    except (OSError, IndexError, ValueError):
        return True

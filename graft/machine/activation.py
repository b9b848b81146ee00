"""NixOS systems activated as nixos-rebuild does it, and the things that go on with OLD.

Source: nixos-rebuild-ng and switch-to-configuration of nixpkgs. The switching program is started in
a transient unit of systemd. So a connection that breaks, or graft's own end, does not stop it
half-way. Without systemd it is started by itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from graft.errors import ActivationError
from graft.formats.store_path import StorePath
from graft.machine.processes import Process
from graft.machine.roots import Root, find_machine_roots
from graft.machine.status import leads_to
from graft.machine.wrappers import WRAPPERS, wrapped_programs
from graft.store.local import LocalStore

Action = Literal["switch", "boot", "test", "dry-activate"]
"""The actions of switch-to-configuration."""

_UNIT: Final = "graft-switch-to-configuration"
_PROGRAM: Final = "bin/switch-to-configuration"
_SYSTEMD: Final = "run/systemd/system"  # there while it is the machine's first process
_CONTAINER: Final = re.compile(
    r"/(container@[^/]+\.service|machine-[^/]+\.scope|docker-[^/]+\.scope)"
)
# The origins of the kernel, and of everything loaded before the first process.
_OF_BOOT: Final = ("kernel", "kernel-modules", "initrd")

RemainderKind = Literal["first-process", "session", "service", "container", "reboot", "wrapper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """Something that goes on with OLD after an activation, or with an older kernel.

    Attributes:
        kind: the kind of the remainder.
        what: its unit, program, container or file.
        advice: the remedy; a command or a short sentence.
        pids: its processes, if it is some.
    """

    kind: RemainderKind
    what: str
    advice: str
    pids: tuple[int, ...] = ()


LASTING: Final[tuple[Action, ...]] = ("switch", "boot")
"""The actions for which nixos-rebuild makes a generation of the system first."""


def check_system(tree: str) -> None:
    """Makes sure that a path is a NixOS system that can be activated; changes nothing.

    Args:
        tree: where it is on this machine.

    Raises:
        ActivationError: it is no NixOS system.
    """
    for name in ("nixos-version", _PROGRAM):
        if not os.path.exists(os.path.join(tree, name)):
            raise ActivationError(
                f"'{tree}' is no NixOS system that can be activated: it has no '{name}'", path=tree
            )


def activate(
    system: str, action: Action, environment: Mapping[str, str], *, machine: str = "/"
) -> None:
    """Activates a system; for `switch` and `test` it first shows the units to be restarted.

    The program's output goes to stderr.

    Args:
        system: its full store path.
        environment: the environment of the started program.
        machine: where it says in `/run` whether systemd runs.

    Raises:
        ActivationError: switch-to-configuration has failed; it may have done part of its work.
    """
    in_unit = os.path.isdir(os.path.join(machine, _SYSTEMD))
    steps: list[Action] = ["dry-activate"] if action in {"switch", "test"} else []
    for step in [*steps, action]:
        _run(system, step, environment, in_unit=in_unit)


def _run(system: str, action: Action, environment: Mapping[str, str], *, in_unit: bool) -> None:
    command = [os.path.join(system, _PROGRAM), action]
    if in_unit:
        command = [
            "systemd-run",
            *("-E", "LOCALE_ARCHIVE"),  # the same as here, if it is set
            *("-E", "NIXOS_INSTALL_BOOTLOADER="),
            *("-E", "NIXOS_NO_CHECK"),
            "--collect",
            "--no-ask-password",
            "--pipe",
            "--quiet",
            "--service-type=exec",
            f"--unit={_UNIT}",
            "--wait",
            *command,
        ]
    else:
        environment = {**environment, "NIXOS_INSTALL_BOOTLOADER": ""}
    try:
        sys.stderr.flush()
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            stderr=sys.stderr.fileno(),
            check=False,
        )
    except OSError as error:
        raise ActivationError(
            f"cannot start '{command[0]}': {error.strerror or str(error)}",
            path=system,
            action=action,
        ) from error
    if done.returncode != 0:
        raise ActivationError(
            f"'{system}/{_PROGRAM} {action}' ended with status {done.returncode}: read its "
            "output, and switch back with 'graft profile rollback' if it is worse than before",
            path=system,
            action=action,
            status=done.returncode,
        )


def find_remainders(
    store: LocalStore, system: StorePath, olds: Collection[StorePath], *, machine: str = "/"
) -> Iterator[Remainder]:
    """The things that go on with OLD once a system is activated, or wait for a reboot.

    Args:
        store: the machine's store.
        system: the activated system.
        olds: the replaced paths of the system.
        machine: where its `/run` is.
    """
    with_old = leads_to(store, olds)
    roots = find_machine_roots(store, os.environ).roots
    yield from _processes(roots, frozenset(olds))
    for root in roots:
        if root.kind == "container" and not with_old.isdisjoint(root.paths):
            yield Remainder(
                kind="container",
                what=root.name or root.place,
                advice="its system leads to OLD: graft that as well, and restart the container",
            )
    directories = [os.path.join(machine, place.lstrip("/")) for place in WRAPPERS]
    for path, wrapper in wrapped_programs(store.store_dir, with_old, directories):
        yield Remainder(
            kind="wrapper",
            what=wrapper,
            advice=f"it starts '{store.store_dir.path(path)}': activate again, or make it again",
        )
    yield from _older_boot(store.tree(system), machine)


def _processes(roots: Collection[Root], olds: Collection[StorePath]) -> Iterator[Remainder]:
    """The processes that hold OLD itself, by the unit or session that must be started again."""
    found: dict[tuple[RemainderKind, str, str], list[int]] = {}
    for root in roots:
        process = root.process
        if process is None or process.uses.keys().isdisjoint(olds):
            continue
        try:
            with open(os.path.join(root.place, "cgroup"), encoding="utf-8") as stream:
                groups = stream.read()
        except OSError:  # it has just ended
            continue
        found.setdefault(started_by(process, groups), []).append(process.pid)
    for (kind, what, advice), pids in found.items():
        yield Remainder(kind=kind, what=what, advice=advice, pids=tuple(pids))


def started_by(process: Process, groups: str) -> tuple[RemainderKind, str, str]:
    """The starter of a process: its kind, its name, and the command that starts it again.

    Args:
        groups: the contents of its file `cgroup`, cgroups(7); systemd names groups after its units.
    """
    if process.pid == 1:
        return "first-process", process.program, "systemctl daemon-reexec"
    container = _CONTAINER.search(groups)
    if container is not None:
        unit = container[1]
        if unit.endswith(".scope"):
            return "container", unit, "restart the container"
        return "container", unit, f"systemctl restart {unit}"
    unit = process.unit or ""
    if "/user@" in groups:
        if unit.endswith(".service") and not unit.startswith("user@"):
            return "session", f"{unit} of {process.user}", f"systemctl --user restart {unit}"
        return "session", f"{process.program} of {process.user}", "log out and in again"
    if unit.startswith("session-"):
        return "session", f"{process.program} of {process.user}", "log out and in again"
    if unit.endswith(".service"):
        return "service", unit, f"systemctl restart {unit}"
    return "session", f"{process.program} of {process.user}", "end it and start it again"


def _older_boot(tree: str, machine: str) -> Iterator[Remainder]:
    booted = os.path.join(machine, "run/booted-system")
    for name in _OF_BOOT:
        then, now = os.path.join(booted, name), os.path.join(tree, name)
        if (
            os.path.lexists(then)
            and os.path.lexists(now)
            and os.path.realpath(then) != os.path.realpath(now)
        ):
            yield Remainder(
                kind="reboot",
                what=name,
                advice="the machine was booted with another one: reboot",
            )

"""bubblewrap: is it there and may it, and a program run in the namespace it makes.

Source: bwrap(1), and bubblewrap.c of 0.8 for the handling of signals by its two processes: the
first one waits for the program, and is killed by a Ctrl-C that the program may well survive.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from graft.errors import NamespaceError
from graft.ways.namespace.view import View
from graft.ways.shell_status import CANNOT_START, NOT_FOUND, status_of

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

# The program to be started where only the namespace is of interest: no root has it.
_NO_PROGRAM = ("/proc/self/no-program",)
_NOT_STARTED = "bwrap: execvp "

_PATIENCE = 0.5  # seconds

# The signals that are passed on to the program, unless the terminal has sent them to all.
_SIGNALS = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)

_SWITCHES = (
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        (
            "there may be no user namespaces here (user.max_user_namespaces is 0): as root, "
            "'sysctl user.max_user_namespaces=10000', or run graft as root"
        ),
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        (
            "only root may make user namespaces here (kernel.unprivileged_userns_clone is 0): as "
            "root, 'sysctl kernel.unprivileged_userns_clone=1', or run graft as root"
        ),
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        (
            "AppArmor lets only programs with a profile make user namespaces "
            "(kernel.apparmor_restrict_unprivileged_userns is 1): give bwrap a profile that allows "
            "'userns,', or run graft as root"
        ),
    ),
)


def command_line(options: Sequence[str], program: Sequence[str]) -> list[str]:
    """The command that runs a program in a namespace; it can stand behind strace.

    Args:
        options: bubblewrap's, as `Mount.options()` gives them.
        program: with its arguments.

    Raises:
        NamespaceError: bubblewrap is not installed.
    """
    return [_bwrap(), *options, "--", *program]


def why_unavailable(options: Sequence[str] = ("--dev-bind", "/", "/")) -> str | None:
    """The reason why no namespace can be made here, and the remedy; None if one can, which is
    tried.

    Args:
        options: the options it is to be made with.
    """
    try:
        command = command_line(options, _NO_PROGRAM)
    except NamespaceError as error:
        return error.message
    tried = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    said = (tried.stderr.strip().splitlines() or [f"status {tried.returncode}"])[-1]
    if said.startswith(_NOT_STARTED):
        return None
    reason = f"bubblewrap cannot make a namespace ({said})"
    if os.geteuid() != 0:
        for file, value, remedy in _SWITCHES:
            if _setting(file) == value:
                return f"{reason}: {remedy}"
    if "ermission" in said or "permitted" in said or "namespace" in said:
        return (
            f"{reason}: in a container it must be allowed (CAP_SYS_ADMIN, or user namespaces and "
            "no seccomp filter against them)"
        )
    return reason


def run_program(
    options: Sequence[str], program: Sequence[str], environment: Mapping[str, str], view: View
) -> int:
    """Runs a program in a namespace to its end, in the foreground, as a shell would.

    Args:
        options: bubblewrap's.
        program: with its arguments; looked up in the PATH of `environment`.
        view: the meaning of paths in the namespace.

    Returns:
        Its exit status, 128 and the signal's number if one has ended it. If it could not be
        started, and bubblewrap has said why on stderr: 127 if it is not there, 126 if it is.

    Raises:
        NamespaceError: the namespace cannot be made; nothing was run.
    """
    reading, writing = os.pipe()
    try:
        os.set_inheritable(writing, True)  # noqa: FBT003
        command = command_line([*options, "--json-status-fd", str(writing)], program)
        with _adopting(), _blocked() as mask:
            # Python ignores these two; a program started would go on doing so.
            monitor = os.posix_spawn(
                command[0],
                command,
                dict(environment),
                setsigmask=mask,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
            )
            os.close(writing)
            writing = -1
            status = _wait(monitor, reading)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if status is not None:
        return status
    if (reason := why_unavailable(options)) is not None:
        raise NamespaceError(reason)
    found = view.has_program(program[0], environment.get("PATH", os.defpath))
    return CANNOT_START if found else NOT_FOUND


def _wait(monitor: int, reading: int) -> int | None:
    """The program's exit status; None if it was not started.

    Args:
        monitor: bubblewrap's first process, the parent of the program.
        reading: where bubblewrap reports the program's process and exit status.
    """
    os.set_blocking(reading, False)
    report = b""
    ended: dict[int, int] = {}
    while True:
        # Another thread of a program that calls this may have taken the signal.
        found = signal.sigtimedwait([*_SIGNALS, signal.SIGCHLD], _PATIENCE)
        ended.update(_reap())
        # A process that ended has written all it had to.
        report += _read(reading)
        facts = _facts(report)
        child = facts.get("child-pid")
        # The terminal sends its signals to the program as well; others were for us alone.
        if found is not None and found.si_signo != signal.SIGCHLD and found.si_code <= 0:
            _kill(monitor if child is None else child, found.si_signo)
        if monitor not in ended:
            if os.path.exists(f"/proc/{monitor}"):
                continue
            return None  # another thread has waited for it
        if ended[monitor] >= 0:
            return ended[monitor] if "exit-code" in facts else None
        # A signal has ended bubblewrap alone; the program's doings are its own affair.
        if child is None:
            for left in _children():
                _kill(left, signal.SIGKILL)
            return status_of(ended[monitor])
        if child in ended:
            return status_of(ended[child])


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


def _facts(report: bytes) -> dict[str, int]:
    """All that bubblewrap's JSON objects say, one a line."""
    facts: dict[str, int] = {}
    for line in report.splitlines(keepends=True):
        if line.endswith(b"\n"):
            facts |= json.loads(line)
    return facts


def _reap() -> Iterator[tuple[int, int]]:
    """The children that have ended since, and how: a status, or a signal's negative number."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process == 0:
            return
        yield process, os.waitstatus_to_exitcode(status)


def _children() -> list[int]:
    own = os.getpid()
    return [int(word) for word in (_setting(f"/proc/{own}/task/{own}/children") or "").split()]


def _kill(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


@contextmanager
def _adopting() -> Iterator[None]:
    """While it lasts, a child's children become ours when their parent ends."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@contextmanager
def _blocked() -> Iterator[set[int]]:
    """While it lasts, signals wait to be asked for; gives the mask that was before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [*_SIGNALS, signal.SIGCHLD])
    try:
        yield set(before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _bwrap() -> str:
    found = shutil.which("bwrap")
    if found is None:
        raise NamespaceError(
            "bubblewrap is not installed, there is no 'bwrap' in PATH: install the package "
            "'bubblewrap' ('nix profile install nixpkgs#bubblewrap', 'guix install bubblewrap', "
            "'apt install bubblewrap')"
        )
    return found


def _setting(file: str) -> str | None:
    try:
        with open(file, encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError:
        return None

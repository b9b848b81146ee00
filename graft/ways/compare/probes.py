"""Probe commands, run under each of the ways, and the store paths they read."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from graft.errors import BadStorePathError, UsageError
from graft.formats.store_path import StoreDir, StorePath
from graft.ways.compare.traces import STRACE, opened_files
from graft.ways.namespace import View
from graft.ways.shell_status import CANNOT_START, NOT_FOUND, status_of

# Lines of a difference that are shown.
_MOST_LINES = 40
# How often the memory maps of a command that is not traced are read, in seconds.
_SAMPLING = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The options and variables with which a command runs under one of the ways.

    Attributes:
        root: the path that relative commands are looked up in.
        original: the root as commands name it; they get `root` in its place.
        view: the meaning of paths for the command.
        prefix: the command line that goes before the command's own.
        environment: variables that are set in addition to the caller's.
        names: base names that only this way has made, each with its original.
    """

    root: str
    original: str
    view: View
    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[StorePath, StorePath] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The result of running a probe.

    Attributes:
        command: as it was given.
        exit: its exit status; 128 and the signal's number if a signal ended it; 127 and 126 if
            there is no such command, or it cannot be executed.
        output: stdout and stderr, in the order they came.
        files: the files that it, or a child, opened or executed, by absolute paths.
        opened: the store paths that these files are in.
        traced: whether strace watched it; else only the files in its memory maps are known.
    """

    command: str
    exit: int
    output: bytes
    files: frozenset[bytes]
    opened: frozenset[StorePath]
    traced: bool

    def opened_any(self, paths: Collection[StorePath]) -> bool | None:
        """Whether a file of some paths was opened; None if that was not seen, and strace did not
        watch.
        """
        if not self.opened.isdisjoint(paths):
            return True
        return False if self.traced else None

    @property
    def output_sha256(self) -> str:
        """The SHA-256 of the output, in hexadecimal."""
        return hashlib.sha256(self.output).hexdigest()


def check_probe(command: str) -> list[str]:
    """The words of a probe's command line.

    Raises:
        UsageError: it is empty, or a quote is not closed.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(
            f"the probe '{command}' is no command line: {str(error).lower()}", probe=command
        ) from error
    if not words:
        raise UsageError("a probe is empty: give a command line", probe=command)
    return words


def observe(command: str, stage: Stage, store_dir: StoreDir) -> Observation:
    """Runs a probe, without input, and watches which files of the store it opens.

    Args:
        command: a command line as a shell splits it; the first word may be relative to the root,
            and where it names the root, the stage's root is meant.

    Raises:
        UsageError: it is no command line.
    """
    words = [word.replace(stage.original, stage.root) for word in check_probe(command)]
    environment = {**os.environ, **stage.environment}
    inside = os.path.join(stage.root, words[0])
    if stage.view.exists(inside):
        words[0] = inside
        if not os.access(stage.view.outside(inside), os.X_OK):
            return _without_run(command, f"{inside}: permission denied\n", CANNOT_START)
    if not stage.view.has_program(words[0], environment.get("PATH", os.defpath)):
        return _without_run(command, f"{words[0]}: command not found\n", NOT_FOUND)
    traced = can_trace()
    with tempfile.TemporaryDirectory(prefix="graft-probe-") as directory:
        trace = os.path.join(directory, "trace")
        tracer = (*STRACE, f"--output={trace}", "--") if traced else ()
        with open(os.path.join(directory, "output"), "w+b") as output:
            try:
                process = subprocess.Popen(
                    [*stage.prefix, *tracer, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=not traced,
                )
            except OSError as error:
                message = f"{words[0]}: {error.strerror or ''}\n"
                return _without_run(command, message, CANNOT_START)
            with process:
                files = set() if traced else _mapped_files(process)
            output.seek(0)
            printed = output.read()
        if traced:
            with contextlib.suppress(FileNotFoundError), open(trace, "rb") as stream:
                files = set(opened_files(stream.read(), os.getcwd()))
        return Observation(
            command=command,
            exit=status_of(process.returncode),
            output=printed,
            files=frozenset(files),
            opened=frozenset(_store_paths(files, store_dir)),
            traced=traced,
        )


def can_trace() -> bool:
    """Whether strace is here, and may watch processes: some containers forbid that."""
    program = shutil.which(STRACE[0])
    if program is None:
        return False
    done = subprocess.run(
        [*STRACE, f"--output={os.devnull}", "--", program, "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _without_run(command: str, message: str, status: int) -> Observation:
    return Observation(
        command=command,
        exit=status,
        output=message.encode(),
        files=frozenset(),
        opened=frozenset(),
        traced=True,
    )


def _mapped_files(process: subprocess.Popen[bytes]) -> set[bytes]:
    """The files in the memory maps of a session's processes, looked at until its leader ends."""
    found: set[bytes] = set()
    while True:
        for directory in os.scandir("/proc"):
            if directory.name.isdigit() and _session(directory.path) == process.pid:
                found |= _maps(directory.path)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_SAMPLING)
            return found


def _session(directory: str) -> int | None:
    try:
        with open(f"{directory}/stat", "rb") as stream:
            # The name before may hold spaces and brackets.
            return int(stream.read().rpartition(b")")[2].split()[3])
    except (OSError, IndexError):
        return None


def _maps(directory: str) -> set[bytes]:
    try:
        with open(f"{directory}/maps", "rb") as stream:
            lines = [line.rstrip(b"\n").split(maxsplit=5) for line in stream]
            return {fields[5] for fields in lines if len(fields) == 6}
    except OSError:
        return set()


def _store_paths(files: Iterable[bytes], store_dir: StoreDir) -> Iterator[StorePath]:
    for file in files:
        text = os.fsdecode(file)
        if store_dir.contains(text):
            with contextlib.suppress(BadStorePathError):  # such as .links
                yield store_dir.first_path(text)


def difference(original: Observation, other: Observation, stage: Stage) -> str | None:
    """The difference of a probe from its run on the original; None if they are alike.

    Names that only the way has made are taken for the names they came from.
    """
    lines = []
    if other.exit != original.exit:
        lines.append(f"exit status {other.exit} instead of {original.exit}")
    printed = _with_original_names(other.output, stage.names)
    if printed != original.output:
        before, after = (
            text.decode("utf-8", "backslashreplace").splitlines()
            for text in (original.output, printed)
        )
        lines += list(difflib.unified_diff(before, after, "original", "here", lineterm="", n=1))
        if before == after:
            lines.append("the outputs differ in their line ends")
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"and {len(lines) - _MOST_LINES} more lines"]
    return "\n".join(lines) or None


def _with_original_names(output: bytes, names: Mapping[StorePath, StorePath]) -> bytes:
    for name, original in names.items():
        output = output.replace(name.encode(), original.encode())
    return output

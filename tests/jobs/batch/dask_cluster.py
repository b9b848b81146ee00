"""A real dask scheduler and real worker processes on loopback, of which any may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 60  # seconds
_MAIN = "from distributed.cli.dask_{} import main; main()"
_PRETEND = "import graft.version; graft.version.VERSION = '{}'; "


@dataclass
class DaskCluster:
    """A scheduler, and workers of one thread each, in the order they were started in."""

    directory: Path
    address: str = ""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def _start(self, program: str, *arguments: str, prelude: str = "") -> subprocess.Popen[bytes]:
        log = (self.directory / f"{program}-{len(self._processes)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-c", f"{prelude}{_MAIN.format(program)}", *arguments],
                cwd=self.directory,
                stdout=log,
                stderr=log,
                env={**os.environ, "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false"},
            )
        self._processes.append(process)
        return process

    def start_scheduler(self) -> None:
        file = self.directory / "scheduler.json"
        self._start(
            "scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard",
            "--dashboard-address=127.0.0.1:0", f"--scheduler-file={file}",
        )  # fmt: skip
        wait_until(lambda: file.exists() and '"address"' in file.read_text())
        self.address = file.read_text().split('"address": "')[1].split('"')[0]

    def start_worker(self, graft_version: str | None = None) -> None:
        prelude = "" if graft_version is None else _PRETEND.format(graft_version)
        self.workers.append(
            self._start(
                "worker", self.address, "--host=127.0.0.1", "--nthreads=1", "--no-nanny",
                "--no-dashboard", "--memory-limit=0", prelude=prelude,
            )
        )  # fmt: skip

    @property
    def scheduler(self) -> subprocess.Popen[bytes]:
        return self._processes[0]

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def logs(self) -> str:
        return "\n".join(file.read_text() for file in self.directory.glob("*.log"))


def wait_until(happened: Callable[[], bool]) -> None:
    """Returns when something has happened."""
    for _ in range(_PATIENCE * 100):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError(f"it has not happened in {_PATIENCE} seconds")


def kill(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """As the kernel does when there is no memory left."""
    process.send_signal(signal.SIGKILL)
    process.wait()


@contextmanager
def dask_cluster(directory: Path, workers: int) -> Iterator[DaskCluster]:
    """A cluster that runs while the block does."""
    directory.mkdir()
    cluster = DaskCluster(directory)
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker()
        yield cluster
    finally:
        cluster.stop()

"""Work given to the workers of a dask.distributed cluster, on this machine or on many.

The scheduler sees names and small values only. What is common to all calls, the function with the
stores it has open, goes to each worker once; NARs go from store to store through the worker that is
at work on them. A worker that dies costs what it was about: the scheduler gives that to another.
"""

from __future__ import annotations

import pickle
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from graft import __version__
from graft.errors import ClusterError, GraftError

_CONNECT_SECONDS: Final = 10
_WORKERS_SECONDS: Final = 60

# How often a call that raised what it should not is tried again. For workers that died in the
# middle of it the scheduler has a number of its own, `distributed.scheduler.allowed-failures`.
_RETRIES: Final = 2


@contextmanager
def cluster(scheduler: str | None, workers: int | None) -> Iterator[Cluster]:
    """A cluster whose workers are at hand as long as the block runs.

    Args:
        scheduler: address of one that runs; None: one is started on this machine.
        workers: how many processes of one thread are started with it; None: with `scheduler`.

    Raises:
        ClusterError: dask.distributed is not installed, the scheduler does not answer, or its
            workers have another graft.
    """
    distributed = _distributed()
    with ExitStack() as stack:
        if scheduler is None:
            local = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
            )
            scheduler = stack.enter_context(local).scheduler_address
        try:
            client = distributed.Client(scheduler, timeout=_CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"the scheduler '{scheduler}' does not answer: start one with 'dask scheduler', and "
                "give the address it prints",
                scheduler=scheduler,
            ) from error
        stack.enter_context(client)
        try:
            client.wait_for_workers(1, timeout=_WORKERS_SECONDS)
        except TimeoutError as error:
            raise ClusterError(
                f"the scheduler '{scheduler}' has no workers: start some with 'dask worker'",
                scheduler=scheduler,
            ) from error
        _check_versions(client, scheduler)
        yield Cluster(client, scheduler)


def _distributed() -> Any:
    try:
        import distributed  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise ClusterError(
            "dask.distributed is not installed: install graft with its extra 'distributed'"
        ) from error
    return distributed


def _check_versions(client: Any, scheduler: str) -> None:
    for worker, found in client.run(_version, on_error="return").items():
        if found != __version__:
            has = f"graft {found}" if isinstance(found, str) else "no graft it can import"
            raise ClusterError(
                f"the worker '{worker}' of the scheduler '{scheduler}' has {has}, and this is graft "
                f"{__version__}: install the same one on all machines",
                scheduler=scheduler,
                worker=worker,
            )


class Cluster:
    """Calls functions on the workers of a cluster.

    Args:
        client: connected to the scheduler.
        address: of the scheduler.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address
        self._executor = client.get_executor(pure=False, retries=_RETRIES)
        self._functions: list[tuple[Callable[[Any], Any], Any]] = []
        self._token = uuid.uuid4().hex

    @property
    def slots(self) -> int:
        """Calls that can be at work at once."""
        return max(1, sum(self._client.nthreads().values()))

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Begins a call of a function that can be pickled, and goes to each worker once.

        Returns:
            What the call will return, or the GraftError it will raise.
        """
        outer: Future[Any] = Future()
        inner = self._executor.submit(_call, self._at_workers(function), argument)

        def end(_inner: Future[Any]) -> None:
            _settle(outer, inner, self._address, argument)

        inner.add_done_callback(end)
        return outer

    def _at_workers(self, function: Callable[[Any], Any]) -> Any:
        """A future of the function, which the workers hand on to each other.

        It is the result of a task and was not scattered: so it can be made again when all that had
        it are dead.
        """
        for known, future in self._functions:
            if known == function:
                return future
        token = f"{self._token}-{len(self._functions)}"
        data = pickle.dumps(function)
        future = self._client.submit(_Packed, token, data, pure=False, key=f"graft-{token}")
        self._functions.append((function, future))
        return future

    def forget(self) -> None:
        """Lets the workers close what the functions had open."""
        for number in range(len(self._functions)):
            with suppress(OSError):
                self._client.run(_close, f"{self._token}-{number}", on_error="ignore")
        self._functions.clear()
        self._token = uuid.uuid4().hex


def _settle(outer: Future[Any], inner: Future[Any], scheduler: str, argument: Any) -> None:
    path = getattr(argument, "path", argument)
    try:
        result = inner.result()
    except CancelledError:
        result = ClusterError(
            f"the scheduler '{scheduler}' is gone: run the same command again, what is registered "
            "stays",
            scheduler=scheduler,
        )
    except Exception as error:  # noqa: BLE001 - whatever the cluster raises
        reason = " ".join(str(error).split()) or type(error).__name__
        result = ClusterError(
            f"the workers of '{scheduler}' cannot make '{path}': {reason}",
            scheduler=scheduler,
            path=path,
        )
    if isinstance(result, GraftError):
        outer.set_exception(result)
    else:
        outer.set_result(result)


@dataclass(frozen=True, slots=True)
class _Packed:
    """A function on its way: it is unpacked by the thread that calls it, once in a process."""

    token: str
    data: bytes = field(repr=False)


_lock = threading.Lock()
_unpacked: dict[str, Any] = {}


def _call(packed: _Packed, argument: Any) -> Any:
    """What a worker does. An error is returned: the scheduler would try what raises again, and log
    it.
    """
    try:
        with _lock:
            if packed.token not in _unpacked:
                _unpacked[packed.token] = pickle.loads(packed.data)  # noqa: S301 - of our own
            function = _unpacked[packed.token]
        return function(argument)
    except GraftError as error:
        return error


def _close(token: str) -> None:
    with _lock:
        function = _unpacked.pop(token, None)
    maker = getattr(function, "__self__", function)
    if maker is not None:
        maker.close()


def _version() -> str:
    return __version__

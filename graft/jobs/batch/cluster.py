"""Work given to the workers of a dask.distributed cluster, on this machine or on many.

The scheduler sees names and small values only. The function of all calls, with its open stores,
goes to each worker once. NARs go from store to store through the worker of their path. If a worker
dies, the scheduler gives its current work to another.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any, Final

from graft.errors import ClusterError, GraftError
from graft.version import VERSION

_CONNECT_SECONDS: Final = 5
_WORKERS_SECONDS: Final = 60
_WATCH_SECONDS: Final = 0.5

# How often a call that raised an unexpected error is tried again. For workers that died in the
# middle of it the scheduler has a number of its own, `distributed.scheduler.allowed-failures`.
_RETRIES: Final = 2


@contextmanager
def open_cluster(scheduler: str | None, workers: int | None) -> Iterator[Cluster]:
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
                dashboard_address="127.0.0.1:0",
                security=True,  # other users of this machine have no business with it
                silence_logs=logging.ERROR,
            )
            stack.enter_context(local)
            scheduler = local.scheduler_address
            address: Any = local
        else:
            address = scheduler
        try:
            client = distributed.Client(address, timeout=_CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"the scheduler '{scheduler}' does not answer: start one with 'dask scheduler', "
                "and give the address it prints",
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
        with closing(Cluster(client, scheduler)) as cluster:
            yield cluster


def _distributed() -> Any:
    try:
        import distributed  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise ClusterError(
            "dask.distributed is not installed: install graft with its extra 'distributed'"
        ) from error
    # It sets its own level when it is imported, and says much.
    logging.getLogger("distributed").setLevel(max(logging.WARNING, logging.getLogger().level))
    return distributed


def _check_versions(client: Any, scheduler: str) -> None:
    for worker, found in client.run(_version, on_error="return").items():
        if found != VERSION:
            has = f"graft {found}" if isinstance(found, str) else "no graft it can import"
            raise ClusterError(
                f"the worker '{worker}' of the scheduler '{scheduler}' has {has}, and this is "
                f"graft {VERSION}: install the same one on all machines",
                scheduler=scheduler,
                worker=worker,
            )


class Cluster:
    """Calls functions on the workers of a cluster.

    Args:
        client: connected to the scheduler.
        address: the scheduler's address.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address
        self._functions: list[tuple[Callable[[Any], Any], str, Any]] = []
        self._token = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._running: dict[int, tuple[Future[Any], Any]] = {}
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._watch_scheduler, daemon=True)
        self._watch.start()

    @property
    def slots(self) -> int:
        """Calls that can be at work at once."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Begins a call of a function that can be pickled, and goes to each worker once.

        Returns:
            The result of the call, or the GraftError it will raise.
        """
        outer: Future[Any] = Future()
        if self._is_gone:
            outer.set_exception(self._gone())
            return outer
        number = next(self._numbers)
        inner = self._client.submit(
            _call,
            self._at_workers(function),
            argument,
            key=f"graft-{self._token}-{number}",
            retries=_RETRIES,
            priority=-number,  # else calls submitted at once are done in any order
        )
        with self._lock:
            self._running[number] = outer, inner  # the scheduler forgets a future without a holder

        def end(inner: Any) -> None:
            path = getattr(argument, "path", argument)
            self._settle(number, self._result(inner, path))

        inner.add_done_callback(end)
        return outer

    def _at_workers(self, function: Callable[[Any], Any]) -> Any:
        """A future of the function, which the workers hand on to each other.

        It is the result of a task and was not scattered: so it can be made again when all that had
        it are dead.
        """
        for known, _, future in self._functions:
            if known == function:
                return future
        token = uuid.uuid4().hex
        data = pickle.dumps(function)
        future = self._client.submit(_Packed, token, data, key=f"graft-{token}")
        self._functions.append((function, token, future))
        return future

    def _result(self, inner: Any, path: object) -> Any:
        """The result of a call; an error if the call or the cluster has failed."""
        try:
            return inner.result()
        except CancelledError:
            return self._gone()
        except Exception as error:  # noqa: BLE001 - the cluster raises any
            reason = " ".join(str(error).split()) or type(error).__name__
            return ClusterError(
                f"the workers of '{self._address}' cannot make '{path}': {reason}",
                scheduler=self._address,
                path=path,
            )

    def _settle(self, number: int, result: Any) -> None:
        with self._lock:
            outer, _ = self._running.pop(number, (None, None))
        if outer is None:
            return
        if isinstance(result, GraftError):
            outer.set_exception(result)
        else:
            outer.set_result(result)

    @property
    def _is_gone(self) -> bool:
        return self._client.status in {"closing", "closed"}

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"the scheduler '{self._address}' is gone: run the same command again, "
            "registered paths stay",
            scheduler=self._address,
        )

    def _watch_scheduler(self) -> None:
        """Ends waiting calls when the client has given up: it lets its own futures wait."""
        while not self._closed.wait(_WATCH_SECONDS):
            if self._is_gone:
                for number in list(self._running):
                    self._settle(number, self._gone())

    def forget(self) -> None:
        """Lets the workers close the files that the functions had open."""
        tokens = [token for _, token, _ in self._functions]
        self._functions.clear()
        if not self._is_gone:
            with suppress(OSError):
                self._client.run(_close, tokens, on_error="ignore")

    def close(self) -> None:
        """Watches no more."""
        self._closed.set()
        self._watch.join()


class _Packed:
    """A function on its way to a worker, which unpacks it when it is first called.

    Its open files are closed when the worker does not need it any more, also after the death of the
    sender.
    """

    def __init__(self, token: str, data: bytes) -> None:
        self.token = token
        self._data = data
        self._function: Any = None
        self._lock = threading.Lock()
        _packed.add(self)

    def __reduce__(self) -> tuple[type[_Packed], tuple[str, bytes]]:
        return _Packed, (self.token, self._data)

    def function(self) -> Callable[[Any], Any]:
        """The function, the same one each time."""
        with self._lock:
            if self._function is None:
                self._function = pickle.loads(self._data)  # noqa: S301 - of our own
                owner = getattr(self._function, "__self__", self._function)
                self._finalizer = weakref.finalize(self, owner.close)
            found: Callable[[Any], Any] = self._function
            return found

    def close(self) -> None:
        """Closes the files that the function has open."""
        with self._lock:
            if self._function is not None:
                self._function = None
                self._finalizer()


_packed: weakref.WeakSet[_Packed] = weakref.WeakSet()


def _call(packed: _Packed, argument: Any) -> Any:
    """A worker's work. An error is returned: the scheduler would repeat and log a raised one."""
    try:
        return packed.function()(argument)
    except GraftError as error:
        return error


def _close(tokens: Sequence[str]) -> None:
    for packed in list(_packed):
        if packed.token in tokens:
            packed.close()


def _version() -> str:
    return VERSION

"""Plans carried out into a store, in a process of its own where the store is mounted read-only.

So NixOS mounts it. The writing process has a mount namespace of its own, in which the store is
writable. This process never leaves its namespace. Other processes must see its links and profiles,
and the later children with their mounts, such as activation scripts.

The writing process is started anew and not forked: an open SQLite database may not be carried over
a fork, nor locks of other threads.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Protocol

from graft.errors import StoreError, StorePermissionError
from graft.executor import Delivery, Done, Work, carry_out
from graft.executor.into_cache import OnEnd
from graft.formats.signature import SecretKey
from graft.kernel.native import load
from graft.plan import Plan
from graft.store.api import LocalTarget, Source, Target
from graft.workers import Resources

_SERVE = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from graft.executor.writing_process import serve; serve(int(sys.argv[1]), sys.argv[2])"
)
# The signals that a terminal sends to both processes are this one's business: it stops the other
# itself.
_KEPT_FROM_WRITER = {signal.SIGINT, signal.SIGHUP, signal.SIGTERM}
_PROGRESS_SECONDS = 0.05


class PlanWriter(Protocol):
    """The function that carries plans out, as `graft.executor.carry_out` does."""

    def __call__(
        self,
        plans: Sequence[Plan],
        source: Source,
        target: Target,
        delivery: Delivery,
        resources: Resources,
        *,
        keep_going: bool,
        on_end: OnEnd | None,
    ) -> Done:
        """Carries them out."""


@contextmanager
def writer(target: Target) -> Iterator[PlanWriter]:
    """The function that carries out plans into a store.

    Yields:
        `graft.executor.carry_out`, or the same for this target in another process. It is called
        once; if it is left by an exception, the process that writes has ended when the block is
        left.

    Raises:
        StorePermissionError: the store is mounted read-only, and cannot be mounted otherwise.
    """
    if not isinstance(target, LocalTarget) or not target.needs_remount:
        yield carry_out
        return
    with _writing_process(target.location.real_store_dir) as process:
        yield process.carry_out


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """The arguments of `carry_out`; the receiver opens pickled stores.

    The keys are exposed: they go only to our own process.
    """

    plans: Sequence[Plan]
    source: Source
    target: LocalTarget
    delivery: Delivery
    sign_keys: tuple[str, ...] = field(repr=False)
    jobs: int | None
    keep_going: bool
    log_level: int


class _Channel:
    """Pickled messages over a socket to a process of our own.

    The writing process sends None once it can write, then numbers of bytes done and log records. At
    the end it sends the result or an exception.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rwb")
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Sends a message, from any thread."""
        with self._lock:
            pickle.dump(message, self._stream, pickle.HIGHEST_PROTOCOL)
            self._stream.flush()

    def receive(self) -> object:
        """The next message.

        Raises:
            EOFError: the other process is gone, or sends no more.
        """
        try:
            return pickle.load(self._stream)  # noqa: S301 - of our own process
        except (pickle.UnpicklingError, ConnectionError) as error:
            raise EOFError from error

    def send_no_more(self) -> None:
        """Lets the other process see the end."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def wait_for_end(self) -> None:
        """Returns when the other process is gone, or sends no more; forgets its messages."""
        with suppress(OSError):
            while self._connection.recv(1 << 16):
                pass

    def close(self) -> None:
        """Closes its stream; a message that the other process cannot get is lost."""
        with suppress(OSError):
            self._stream.close()


@contextmanager
def _writing_process(store: str) -> Iterator[_WritingProcess]:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = _start(theirs, store)
        with closing(_Channel(ours)) as channel:
            try:
                yield _WritingProcess(process, channel)
            finally:
                # It takes back its unfinished work, and nothing may be done before that is over.
                channel.send_no_more()
                channel.wait_for_end()
                process.wait()


def _start(connection: socket.socket, store: str) -> subprocess.Popen[bytes]:
    descriptor = connection.fileno()
    command = [sys.executable, "-P", "-c", _SERVE, str(descriptor), store, *sys.path]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _KEPT_FROM_WRITER)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _WritingProcess:
    """The other process, as seen from here."""

    def __init__(self, process: subprocess.Popen[bytes], channel: _Channel) -> None:
        self._process = process
        self._channel = channel
        self._result()

    def carry_out(
        self,
        plans: Sequence[Plan],
        source: Source,
        target: Target,
        delivery: Delivery,
        resources: Resources,
        *,
        keep_going: bool,
        on_end: OnEnd | None,
    ) -> Done:
        """As `graft.executor.carry_out`."""
        del on_end  # which is told of caches only
        assert isinstance(target, LocalTarget)
        work = Work.of(plans, source, target)
        # The other process gives its temporary roots back when it ends.
        target.protect(work.protected)
        request = _Request(
            plans=plans,
            source=source,
            target=target,
            delivery=replace(delivery, sign_keys=()),
            sign_keys=tuple(key.expose() for key in delivery.sign_keys),
            jobs=resources.jobs,
            keep_going=keep_going,
            log_level=logging.getLogger("graft").getEffectiveLevel(),
        )
        with resources.progress("graft", work.nar_bytes) as on_bytes:
            with suppress(ConnectionError):  # then there is an end to be received
                self._channel.send(request)
            result = self._result(on_bytes)
        assert isinstance(result, Done)
        return result

    def _result(self, on_bytes: Callable[[int], object] | None = None) -> Done | None:
        while True:
            try:
                message = self._channel.receive()
            except EOFError:
                raise self._death() from None
            if isinstance(message, BaseException):
                raise message
            if isinstance(message, logging.LogRecord):
                logging.getLogger(message.name).handle(message)
            elif isinstance(message, int):
                if on_bytes is not None:
                    on_bytes(message)
            else:
                assert message is None or isinstance(message, Done)
                return message

    def _death(self) -> StoreError:
        status = self._process.wait()
        how = f"status {status}" if status >= 0 else f"signal {-status}"
        return StoreError(
            f"the process that writes into the read-only store died ({how}): the paths "
            "it has registered stay valid; run the same command again",
            status=status,
        )


def serve(descriptor: int, store: str) -> None:
    """The main function of the writing process: makes the store writable, and carries plans out.

    Args:
        descriptor: the descriptor of the socket to the process that has started it. When that sends
            no more, or is gone, the work is taken back.
        store: where the store directory is on this machine.
    """
    channel = _Channel(socket.socket(fileno=descriptor))
    signal.signal(signal.SIGTERM, _interrupt)
    answer: object
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        answer = _answer(channel, store)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    except BaseException as error:  # noqa: BLE001 - the other process raises it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        error.add_note(f"in the writing process:\n{traceback.format_exc()}")
        answer = error
    with suppress(ConnectionError):
        channel.send(answer)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    # Once: taking the work back is not interrupted.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _answer(channel: _Channel, store: str) -> Done | None:
    make_writable(store)
    channel.send(None)
    try:
        request = channel.receive()
    except EOFError:
        return None  # there is nothing to be written after all
    assert isinstance(request, _Request)
    threading.Thread(target=_interrupt_at_end, args=[channel], daemon=True).start()
    log = logging.getLogger("graft")
    log.setLevel(request.log_level)
    log.addHandler(_LogSender(channel))
    on_bytes = _ProgressSender(channel)
    keys = tuple(SecretKey.parse(key, "the key") for key in request.sign_keys)
    with ExitStack() as opened:
        for end in (request.source, request.target):  # opened when they were unpickled
            if isinstance(end, AbstractContextManager):
                opened.enter_context(end)
        done = carry_out(
            request.plans,
            request.source,
            request.target,
            replace(request.delivery, sign_keys=keys),
            Resources(jobs=request.jobs, progress=lambda _stage, _total: nullcontext(on_bytes)),
            keep_going=request.keep_going,
        )
    on_bytes.flush()
    return done


def make_writable(store: str) -> None:
    """Remounts the store directory for this process, which must have no other thread.

    Raises:
        StorePermissionError: this user may not, or the file system itself is read-only.
    """
    native = load()
    assert native is not None
    try:
        native.unshare_mounts()
        native.remount_writable(os.fsencode(store))
    except OSError as error:
        raise StorePermissionError(
            f"the store '{store}' is mounted read-only, and this user may not mount it otherwise "
            f"in a mount namespace ({error.strerror or ''}): run as root with "
            "CAP_SYS_ADMIN, outside of containers, with /proc mounted",
            path=store,
        ) from error
    if not os.access(store, os.W_OK | os.X_OK):
        raise StorePermissionError(
            f"the file system of the store '{store}' is itself mounted read-only: remount it "
            "read-write",
            path=store,
        )


def _interrupt_at_end(channel: _Channel) -> None:
    channel.wait_for_end()
    # To that thread, so that the call it waits for returns.
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGTERM)


class _LogSender(logging.Handler):
    """Sends the log records of this process to the other one."""

    def __init__(self, channel: _Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self._channel.send(record)


class _ProgressSender:
    """Tells the other process of bytes done, now and then."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._size = 0
        self._sent = time.monotonic()

    def __call__(self, size: int) -> None:
        with self._lock:
            self._size += size
            if time.monotonic() - self._sent > _PROGRESS_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Sends the messages that wait."""
        self._channel.send(self._size)
        self._size = 0
        self._sent = time.monotonic()

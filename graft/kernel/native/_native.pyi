from collections.abc import Callable, Sequence
from typing import Self

from _typeshed import ReadableBuffer, WriteableBuffer

from graft.kernel.reference import Hit

class Table:
    def __new__(
        cls, entries: Sequence[tuple[bytes, bytes | None]], hit: type[Hit], variant: str
    ) -> Self: ...
    @property
    def span(self) -> int: ...
    def __len__(self) -> int: ...
    def find(self, data: ReadableBuffer, final: bool = True) -> tuple[list[Hit], int]: ...
    def rewrite(self, data: ReadableBuffer, final: bool = True) -> tuple[bytes, list[Hit], int]: ...
    def rewrite_in_place(
        self, data: WriteableBuffer, final: bool = True
    ) -> tuple[int, int, int, int]: ...

class Anchors:
    @property
    def step(self) -> int: ...
    def __new__(cls, words: ReadableBuffer, step: int = 1) -> Self: ...
    def __len__(self) -> int: ...
    def find(self, data: ReadableBuffer, /) -> list[tuple[int, int]]: ...

class Sieve:
    def __new__(
        cls,
        table: Table,
        suspicions: tuple[tuple[Anchors | None, tuple[bytes, ...], bool], ...],
    ) -> Self: ...
    def find(self, data: ReadableBuffer, /) -> int: ...

def crc32c(data: ReadableBuffer, register: int, /) -> int: ...
def is_dense(data: ReadableBuffer, mostly: bool = False, /) -> bool: ...
def find_streams(data: ReadableBuffer, final: bool = True, /) -> list[tuple[int, int]]: ...
def relative_operands(
    data: ReadableBuffer,
    start: int,
    end: int,
    address: int,
    first: int,
    marks: ReadableBuffer,
    /,
) -> list[tuple[int, int]]: ...

class WalkError(Exception):
    """A walk failed; a cause is what the sink or a signal's handler raised.

    args are kind (system, unsupported, collision, changed, memory, stopped), errno, the system
    call, the file relative to the top, whether that is the target's, and whether something was
    made at the target.
    """

    args: tuple[str, int, str, bytes, bool, bool]

def walk(
    source: bytes,
    target: bytes | None,
    *,
    table: Table | None,
    wanted: Table | None,
    sink: Callable[[memoryview], object] | None,
    marks: tuple[tuple[tuple[int, bytes], ...], tuple[bytes, ...], tuple[bytes, ...]] | None,
    suspicions: tuple[tuple[Anchors | None, tuple[bytes, ...], bool], ...],
    report: bool,
    links: bool,
    reflinks: bool,
    owner: int,
    group: int,
    window: int,
    map_window: int,
    map_from: int,
    threads_map_from: int,
    threads: int,
) -> tuple[
    tuple[int, ...],
    bytes,
    list[tuple[bytes, int, int, int, int]],
    list[bytes],
    list[tuple[bytes, int]],
]:
    """The result and the arguments are those of graft.kernel.tree.walk.walk_tree, and four more.

    Whatever they are, the result is the same.

    Args:
        map_window: bytes mapped at a time; rounded up to pages.
        map_from: files of this size and more are mapped, not read.
        threads_map_from: the same where several threads walk.
        threads: that walk; with a sink it is one.
    """

def syncfs(path: bytes) -> None: ...
def unshare_mounts() -> None: ...
def remount_writable(path: bytes) -> None: ...
def variants() -> list[str]: ...

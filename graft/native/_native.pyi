from collections.abc import Callable, Sequence
from typing import Self

from _typeshed import ReadableBuffer

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
    report: bool,
    links: bool,
    reflinks: bool,
    owner: int,
    group: int,
    window: int,
) -> tuple[tuple[int, ...], bytes, list[tuple[bytes, int, int, int, int]]]:
    """The result and the arguments are those of graft.tree.walk.walk_tree."""

def syncfs(path: bytes) -> None: ...
def unshare_mounts() -> None: ...
def remount_writable(path: bytes) -> None: ...
def variants() -> list[str]: ...

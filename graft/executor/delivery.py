"""The way in which new paths are written, into a store or into a cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from graft.formats.compression import check_compression
from graft.formats.signature import SecretKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How NARs are compressed.

    Attributes:
        name: one of `graft.formats.compression_levels.LEVELS`.
        level: the compression's level; None is its own default.
        threads: zstd's own threads for each NAR.

    Raises:
        UsageError: there is no such compression or level, or threads are not for it.
    """

    name: str = "zstd"
    level: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        check_compression(self.name, self.level, self.threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The way in which new paths are written.

    Attributes:
        links: whether unchanged files may be hard links to the original's.
        check_inputs: compare each original's bytes with its registered NAR hash first.
        repair: read the new paths that are valid, and make the paths again whose bytes are wrong.
        sign_keys: keys that sign new and fetched paths, in addition to earlier signatures.
        compression: the compression of the NARs in a target that is a cache.
    """

    links: bool = True
    check_inputs: bool = False
    repair: bool = False
    sign_keys: tuple[SecretKey, ...] = field(default=(), repr=False)
    compression: Compression = field(default_factory=Compression)


DEFAULT_DELIVERY: Final = Delivery()
"""The delivery without any option."""

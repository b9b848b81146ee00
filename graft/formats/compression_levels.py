"""The compressions of NARs: their names, their levels, and how their files end."""

from __future__ import annotations

from typing import Final

LEVELS: Final = {
    "none": range(0),
    "xz": range(10),
    "zstd": range(1, 23),
    "bzip2": range(1, 10),
    "gzip": range(1, 10),
}
"""The compressions that can be read and written, each with its levels."""

SUFFIXES: Final = {"none": "", "xz": ".xz", "zstd": ".zst", "bzip2": ".bz2", "gzip": ".gz"}
"""The end of a compressed file's name, by its compression."""

"""Closures in a cache that share what they lead to, and the jobs file that grafts them all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.caches import cache_of
from tests.graftable import Graftable
from tests.store_objects import add_object

GRAFT_BATCH = [sys.executable, "-m", "graft", "batch"]
TOPS = ("web", "db", "mail")
_IMAGE = "etc-metadata.erofs"


@dataclass(frozen=True)
class Fleet:
    """lib <- app <- many parts <- web, db and mail, each of which needs some of the parts.

    Attributes:
        directory: has the cache `source`, and `jobs.toml`, which wants the variable OUT.
        tops: what the jobs graft, by their names.
    """

    directory: Path
    it: Graftable
    parts: tuple[StorePath, ...]
    tops: dict[str, StorePath]

    @classmethod
    def build(
        cls,
        directory: Path,
        *,
        parts: int = 6,
        size: int = 1000,
        head: str = "",
        broken: bool = False,
    ) -> Fleet:
        """Makes them.

        Args:
            broken: whether the first part, which only web needs, has an image in it that cannot be
                rewritten and must not be left alone.
        """
        location = Location.at_root(str(directory / "local"))
        LocalStore.create(location)
        with LocalStore(location=location) as store:
            it = Graftable.build(store)
            full = store.store_dir.path
            made = tuple(
                add_object(
                    store,
                    f"part-{number}",
                    {
                        "app": f"{full(it.app)}/bin\n".encode(),
                        "noise": random.Random(number).randbytes(size // 2).hex().encode(),
                        **({_IMAGE: _broken_image(full(it.app))} if broken and not number else {}),
                    },
                    [it.app],
                )
                for number in range(parts)
            )
            tops = {
                name: add_object(
                    store,
                    f"{name}-1",
                    {"parts": "".join(f"{full(part)}\n" for part in made[first:]).encode()},
                    made[first:],
                )
                for first, name in enumerate(TOPS)
            }
            cache_of(store, directory / "source")
        fleet = cls(directory=directory, it=it, parts=made, tops=tops)
        fleet.write_jobs(head)
        return fleet

    @property
    def jobs_file(self) -> str:
        return str(self.directory / "jobs.toml")

    def write_jobs(self, head: str = "", extra: str = "") -> None:
        """Writes the jobs file: a job for each top, and what else is said."""
        lines = [
            f'store = "file://{self.directory}/source"',
            'to = "file://${OUT}"',
            "check-sigs = false",
            head,
            f'[replacements]\n"{self.it.old}" = "{self.it.new}"',
        ]
        lines += [f'[[job]]\nname = "{name}"\nroots = ["*-{name}-1"]' for name in self.tops]
        Path(self.jobs_file).write_text("\n".join([*lines, extra, ""]))

    def start(self, out: Path, *options: str) -> subprocess.Popen[str]:
        """Begins `graft batch` in a process of its own, into a cache."""
        return subprocess.Popen(
            [*GRAFT_BATCH, self.jobs_file, *options],
            env={**os.environ, "OUT": str(out)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def spoil_nar(self, path: StorePath) -> None:
        """Changes the NAR of a path in the source behind its narinfo's back."""
        narinfo = (self.directory / "source" / f"{path.hash_part}.narinfo").read_text()
        [url] = [line[5:] for line in narinfo.splitlines() if line.startswith("URL: ")]
        file = self.directory / "source" / url
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)


def _broken_image(path: str) -> bytes:
    return bytes(1024) + b"\xe2\xe1\xf5\xe0" + path.encode()


def files_of(cache: Path) -> dict[str, bytes]:
    """Every file of a cache, by its name; nothing else may be there."""
    found = {}
    for place in cache.rglob("*"):
        if place.is_dir():
            assert place == cache / "nar", place
        else:
            found[str(place.relative_to(cache))] = place.read_bytes()
    return found

"""`graft compare` on a real closure, in its own store, and how to read what it gave."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.debpkgs.built import Built
from tests.debpkgs.store import PrivateStore

PROGRAMS = Path(__file__).parent / "programs"


def printed(text: str) -> str:
    """What identifies an output in a comparison's document."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Ways:
    """The document of a comparison."""

    document: Mapping[str, Any]

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        [way] = [way for way in self.document["ways"] if way["way"] == name]
        assert isinstance(way, dict)
        return way

    def probe(self, way: str, number: int) -> Mapping[str, Any]:
        """What one probe gave under a way, or on the `original`."""
        probes = self.document["original_probes"] if way == "original" else self[way]["probes"]
        assert isinstance(probes[number], dict)
        return probes[number]  # type: ignore[no-any-return]

    def opened(self, number: int) -> dict[str, str]:
        """What of OLD and NEW one probe opened, on the original and under each way."""
        return {way: _opened(self.probe(way, number)) for way in self._tried}

    def exits(self, number: int) -> dict[str, int]:
        """The exit statuses of one probe."""
        return {way: self.probe(way, number)["exit"] for way in self._tried}

    def printing(self, number: int, text: str) -> set[str]:
        """Under which ways a probe printed exactly that."""
        found = {way: self.probe(way, number)["output_sha256"] for way in self._tried}
        return {way for way, digest in found.items() if digest == printed(text)}

    def missed(self, way: str) -> dict[str, str]:
        """Why dependents of OLD do not see NEW, by their names."""
        coverage = self[way]["coverage"]
        assert coverage["see_new"] == coverage["dependents"] - len(coverage["missed"])
        return {os.path.basename(one["path"])[33:]: one["why"] for one in coverage["missed"]}

    @property
    def warnings(self) -> dict[str, str]:
        """The messages of the warnings, by kind."""
        return {warning["kind"]: warning["message"] for warning in self.document["warnings"]}

    @property
    def _tried(self) -> list[str]:
        return ["original", *(way["way"] for way in self.document["ways"] if way["probes"])]


def _opened(probe: Mapping[str, Any]) -> str:
    assert probe["traced"]
    words = [word for word in ("OLD", "NEW") if probe[f"opened_{word.lower()}"]]
    return " and ".join(words) or "neither"


def ways(original: str, graft: str, pivot: str, mount: str) -> dict[str, str]:
    """What is expected, in the order people read it."""
    return {"original": original, "graft": graft, "pivot": pivot, "mount": mount}


@dataclass(frozen=True)
class SmallSet:
    """The small set of real programs, checked out."""

    built: Built
    store: PrivateStore
    directory: Path

    @property
    def root(self) -> str:
        return self.built.old_root

    def path(self, name: str) -> str:
        """The only path of the closure that is called so, whatever its version."""
        named = [path for path in self._closure if os.path.basename(path)[33:].startswith(name)]
        assert len(named) == 1, named
        return named[0]

    @property
    def _closure(self) -> list[str]:
        return self.store.closure(self.root)

    def graft(self, *arguments: str) -> list[str]:
        """The command line of graft on this store."""
        url = f"--store=local?store={self.store.store_dir}&state={self.store.state_dir}"
        return [sys.executable, "-m", "graft", url, *arguments]

    def run(self, *command: str | Path, **variables: str) -> str:
        """The output of a command that must succeed, and hears of little but the PATH."""
        environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, env=environment | variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def comparing(
        self,
        root: str,
        replacement: tuple[str, str],
        pivots: Mapping[str, str],
        probes: Sequence[str],
    ) -> list[str]:
        """The command line of `graft compare` with one replacement, its result in JSON."""
        old, new = replacement
        return self.graft(
            *("compare", root, f"--replace={old}={new}", "--json"),
            *(f"--pivot={kind}={target}" for kind, target in pivots.items()),
            *(f"--probe={probe}" for probe in probes),
        )

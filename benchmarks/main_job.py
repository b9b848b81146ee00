"""Replacing openssl in a real closure: graft against the pipeline of nixpkgs, and against copying.

    python -m benchmarks.main_job [--runs N]

On the small set of tests/debpkgs. In each run every way is timed once, one after the other, so that
the ratios hold on a machine whose speed drifts; medians are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.debpkgs.built import Built, small
from tests.debpkgs.store import PrivateStore


def _graft(built: Built, store: PrivateStore, *options: str) -> dict[str, object]:
    command = [sys.executable, "-m", "graft", "--json", "-q"]
    command += ["--store", f"local?store={store.store_dir}&state={store.state_dir}"]
    command += ["apply", built.old_root, *options]
    command += [f"--replace={old}={new}" for old, new in built.replacements.items()]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    document = json.loads(output)
    assert isinstance(document, dict)
    return document


def _pipeline(pairs: dict[str, str], rewritten: list[str], target: Path) -> None:
    """What nixpkgs' replaceDependencies does with each path: dump, sed, restore."""
    program = ";".join(
        f"s|{os.path.basename(old)}|{os.path.basename(new)}|g" for old, new in pairs.items()
    )
    for path in rewritten:
        script = f"nix-store --dump {path} | sed -e '{program}' | nix-store --restore {target}/out"
        subprocess.run(["bash", "-eo", "pipefail", "-c", script], check=True)
        subprocess.run(["chmod", "-R", "u+w", f"{target}/out"], check=True)
        shutil.rmtree(target / "out")


def _copy(rewritten: list[str], target: Path) -> None:
    subprocess.run(["cp", "-a", *rewritten, target], check=True)
    subprocess.run(["chmod", "-R", "u+w", str(target)], check=True)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _start_up() -> None:
    subprocess.run(
        [sys.executable, "-c", "import graft.cli.apply_command"], check=True, capture_output=True
    )


def _one_run(built: Built) -> dict[str, float]:
    with built.checkout() as store, tempfile.TemporaryDirectory(dir=built.directory) as name:
        scratch = Path(name)
        outcome: dict[str, object] = {}
        first = _seconds(lambda: outcome.update(_graft(built, store)))
        pairs = outcome["paths"]
        assert isinstance(pairs, dict)
        rewritten = [path for path in pairs if path not in built.replacements]
        return {
            "graft apply": first,
            "graft apply, again": _seconds(lambda: _graft(built, store)),
            "start-up alone": _seconds(_start_up),
            "dump | sed | restore": _seconds(lambda: _pipeline(pairs, rewritten, scratch)),
            "cp -a": _seconds(lambda: _copy(rewritten, scratch)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    built = small()
    times: dict[str, list[float]] = {}

    for _ in range(runs):
        for way, seconds in _one_run(built).items():
            times.setdefault(way, []).append(seconds)
    medians = {way: statistics.median(found) for way, found in times.items()}
    print(f"{'':24}{'seconds':>10}{'x cp -a':>10}")
    for way, seconds in medians.items():
        print(f"{way:24}{seconds:10.3f}{seconds / medians['cp -a']:10.2f}")


if __name__ == "__main__":
    main()

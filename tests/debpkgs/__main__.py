"""The command line: build a root, smoke-run one, compare two."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import equality, smoke
from .built import build_pair
from .cache import cache_dir
from .download import DownloadError
from .index import PackageIndexError, index_files, load_index
from .roots import plan_root
from .sets import SETS
from .store import NixError, PrivateStore, missing_tools
from .variants import NAMES, choose


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 if all was well, 1 if a check failed, 2 if it could not be run."""
    options = _parser().parse_args(arguments)
    missing = missing_tools()
    if missing:
        print(f"missing: {', '.join(missing)}", file=sys.stderr)
        return 2
    try:
        if options.command == "build":
            return _build(options)
        if options.command == "smoke":
            return _smoke(options)
        return _pair(options)
    except (PackageIndexError, DownloadError, NixError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.debpkgs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    build = commands.add_parser("build", help="build one root in a store of your choice")
    build.add_argument("--set", choices=sorted(SETS), default="small")
    build.add_argument("--variant", choices=NAMES, default="openssl", help="what is replaced")
    build.add_argument("--side", choices=("old", "new"), default="old")
    build.add_argument("--openssl", choices=("old", "new"), help="--variant openssl --side ...")
    build.add_argument("--out", type=Path, required=True, help="for the expression and `result`")
    build.add_argument(
        "--store",
        nargs="+",
        default=["private"],
        metavar="WHERE",
        help="`private` (below --out), `private DIR`, or `/nix`",
    )

    run = commands.add_parser("smoke", help="run the programs under a root")
    run.add_argument("root", type=Path)

    pair = commands.add_parser("pair", help="build both roots in the cache and compare them")
    pair.add_argument("--set", choices=sorted(SETS), default="small")
    pair.add_argument("--variant", choices=NAMES, default="openssl")
    return parser


def _build(options: argparse.Namespace) -> int:
    start = time.monotonic()
    out = Path(options.out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    store = _store(options.store, out)
    index = load_index(index_files())
    pair = choose("openssl" if options.openssl else options.variant, index)
    choice = pair.old if (options.openssl or options.side) == "old" else pair.new
    plan = plan_root(index, options.set, choice, cache_dir() / "debs")
    expression = plan.write(out)
    root = store.build(expression, "root", out / "result")
    print(root)
    print(
        f"{pair.variant.name} {pair.variant.old_version} -> {pair.variant.new_version}"
        f" ({pair.variant.how}); {len(store.closure(root))} paths,"
        f" {time.monotonic() - start:.1f} s",
        file=sys.stderr,
    )
    return 0


def _store(where: Sequence[str], out: Path) -> PrivateStore:
    if where[0] == "/nix":
        return PrivateStore.system(out / "etc")
    if where[0] != "private" or len(where) > 2:
        raise SystemExit("--store is `private`, `private DIR` or `/nix`")
    return PrivateStore.under(Path(where[1]) if len(where) == 2 else out)


def _smoke(options: argparse.Namespace) -> int:
    results = smoke.run(options.root)
    print(smoke.render(results))
    return 0 if all(result.ok for result in results) else 1


def _pair(options: argparse.Namespace) -> int:
    built = build_pair(options.set, options.variant)
    for old, new in built.replacements.items():
        print(f"{old}\n  -> {new}")
    old_closure, new_closure = (
        built.store.closure(root) for root in (built.old_root, built.new_root)
    )
    table = equality.compare(old_closure, new_closure, replaced=built.replacements)
    print(table.render())
    if not built.variant.equal_length:
        print("names are of unequal length: rebuilt ELF files are no ground truth here")
    return 1 if table.unexpected and built.variant.equal_length else 0


if __name__ == "__main__":
    sys.exit(main())

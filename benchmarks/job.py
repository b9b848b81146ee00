"""The whole job: openssl replaced in the closure of a real system, against hashing alone.

What is made must be hashed once to be registered, so SHA-256 of the same files is the floor; a
proof reads, hashes and searches again what it proves.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from graft.kernel.tree import remove_tree
from tests.debpkgs import Built, large, missing_tools, small

from .bench import Bench, fresh, graft_command, have, piped, processors, quietly
from .breakdown import profile
from .compiled import compile_hash_files
from .measure import Report, Table, Target, Way, in_turn
from .replica import Replica

HASHING = "SHA-256 of what is rewritten"
READING = "only reading what is rewritten"
READING_ALL = "only reading the closure"
START_UP = "start-up: graft apply --help"
PLAN = "graft plan"
PROVED = ("none", "rewritten", "closure")


def run(bench: Bench) -> Report:
    report = Report("job")
    if missing := missing_tools():
        report.notes.append(f"left out, for there is no real store without {', '.join(missing)}")
        return report
    built = small() if bench.quick else large()
    replica = Replica(built, bench.memory / "replica")
    plan = json.loads(quietly(replica.command("plan", "--json")))
    rewritten = [os.path.basename(rewrite["path"]) for rewrite in plan["rewrites"]]
    report.notes.append(
        f"{len(plan['rewrites'])} of {plan['closure_paths']} paths are rewritten,"
        f" {sum(rewrite['nar_size'] for rewrite in plan['rewrites']) / 1e6:.0f} MB of NARs;"
        f" {processors()} threads"
    )
    report.tables.append(_in_memory(bench, replica, rewritten))
    report.targets += _targets(report.tables[0])
    replica.reset()
    command = replica.command("apply", "--prove", "rewritten")
    title = f"Where the time of {applying('rewritten')} goes"
    shares = profile(bench, title, command, replica.reset)
    report.tables += [shares] if shares else []
    report.notes.append(_bytes_of_shared_paths(bench, replica, set(rewritten)))
    remove_tree(bench.memory / "replica")
    if not bench.quick:
        report.tables.append(_on_disk(bench, built))
    return report


def applying(scope: str) -> str:
    return f"graft apply --prove {scope}"


def again(scope: str) -> str:
    return f"{applying(scope)}, again"


def _in_memory(bench: Bench, replica: Replica, rewritten: list[str]) -> Table:
    ways = [Way(START_UP, partial(quietly, graft_command("apply", "--help")))]
    ways += [Way(PLAN, partial(quietly, replica.command("plan")), replica.reset)]
    ways += _graft_ways(replica)
    ways += _hash_ways(bench, replica, rewritten)
    copies = bench.memory / "copies"
    trees = [replica.tree(path) for path in rewritten]
    few = 2 if len(trees) > 30 else bench.runs
    ways.append(
        Way(
            "cp -a of what is rewritten",
            partial(quietly, ["cp", "-a", "--reflink=never", *trees, str(copies)]),
            lambda: fresh(copies),
            lambda: fresh(copies),
        )
    )
    if have("nix-store"):
        ways.append(
            Way(
                "dump | sed | restore of what is rewritten",
                lambda: _pipeline(replica.pairs, trees, copies),
                lambda: fresh(copies),
                lambda: fresh(copies),
                few,
            )
        )
    figures = in_turn(ways, bench.runs, bench.say)
    return Table("In memory (tmpfs)", "s", tuple(figures), HASHING)


def _graft_ways(replica: Replica) -> list[Way]:
    ways = []
    for scope in PROVED:
        command = replica.command("apply", "--prove", scope)
        ways.append(Way(applying(scope), partial(quietly, command), replica.reset))
        if scope != "none":
            ways.append(Way(again(scope), partial(quietly, command)))
    return ways


def _hash_ways(bench: Bench, replica: Replica, rewritten: list[str]) -> list[Way]:
    program = compile_hash_files(bench.disk)
    threads = str(processors())
    hashed, closure = (_list(replica, paths) for paths in (rewritten, replica.closure))
    return [
        Way(HASHING, partial(quietly, [program, threads], hashed)),
        Way(READING, partial(quietly, [program, threads, "read"], hashed)),
        Way(READING_ALL, partial(quietly, [program, threads, "read"], closure)),
    ]


def _list(replica: Replica, paths: Sequence[str]) -> bytes:
    return b"".join(os.fsencode(file) + b"\0" for file in replica.regular_files(paths))


def _targets(table: Table) -> list[Target]:
    def times_hashing(applied: float, start: float, hashed: float) -> float:
        return (applied - start) / hashed

    targets = [
        Target(
            f"{applying(scope)}, times hashing",
            table.per_run(times_hashing, applying(scope), START_UP, HASHING),
            limit,
        )
        for scope, limit in (("none", 1.5), ("rewritten", 2))
    ]
    # A proof of the closure hashes what is new, and searches the rest.
    beyond_rewritten = table.per_run(
        lambda applied, start, hashed: applied - start - hashed,
        *(again("rewritten"), START_UP, HASHING),
    )
    beyond_closure = table.per_run(
        lambda applied, start, hashed, read, all_read: applied - start - hashed - all_read + read,
        *(again("closure"), START_UP, HASHING, READING, READING_ALL),
    )
    for scope, value in (("rewritten", beyond_rewritten), ("closure", beyond_closure)):
        claim = f"{again(scope)}: seconds beyond what its proof reads and hashes"
        targets.append(Target(claim, value, 1))
    return targets


def _on_disk(bench: Bench, built: Built) -> Table:
    replica = Replica(built, bench.disk / "replica")
    quietly(["sync", "-f", str(bench.disk)])
    ways = [
        Way(START_UP, partial(quietly, graft_command("apply", "--help"))),
        *_graft_ways(replica),
    ]
    rewritten = json.loads(quietly(replica.command("plan", "--json")))["rewrites"]
    ways += _hash_ways(bench, replica, [os.path.basename(one["path"]) for one in rewritten])
    figures = in_turn(ways, min(bench.runs, 3), bench.say)
    remove_tree(bench.disk / "replica")
    return Table(
        f"On a disk ({_file_system(bench.disk)}), with its syncs", "s", tuple(figures), HASHING
    )


def _pipeline(pairs: dict[str, str], trees: list[str], target: Path) -> None:
    """What nixpkgs' replaceDependencies does with each path: dump, sed, restore."""
    program = ";".join(f"s|{old}|{new}|g" for old, new in pairs.items())
    for number, tree in enumerate(trees):
        piped(
            f"nix-store --dump {tree} | sed -e '{program}' | nix-store --restore {target}/{number}"
        )


_READ = re.compile(
    rb"^(?:\d+ +)?(read|readv|pread64|mmap|copy_file_range|sendfile|ioctl)\(.*?<([^>]*)>",
    re.MULTILINE,
)


def _bytes_of_shared_paths(bench: Bench, replica: Replica, rewritten: set[str]) -> str:
    """Whether planning and writing read a byte of a path that stays as it is; by strace."""
    if not have("strace"):
        return "no strace, so nobody looked which files were read"
    trace = bench.disk / "trace"
    traced = "trace=read,readv,pread64,mmap,copy_file_range,sendfile,ioctl"
    strace = ["strace", "-f", "-y", "-qq", "-s", "0", "-e", traced, "-o", str(trace)]
    try:
        quietly([*strace, *replica.command("apply", "--prove", "none")])
    except RuntimeError as error:
        return f"strace did not work: {error}"
    shared = set(replica.closure) - rewritten - set(replica.pairs)
    calls: dict[bool, int] = {True: 0, False: 0}
    for match in _READ.finditer(trace.read_bytes()):
        file = os.fsdecode(match[2])
        if file.startswith(f"{replica.location.real_store_dir}/"):
            inside = file[len(replica.location.real_store_dir) + 1 :].split("/")[0]
            calls[inside in shared] += 1
    trace.unlink()
    return (
        f"strace saw {calls[False]} calls that read files of the paths rewritten, and"
        f" {calls[True]} that read a file of the {len(shared)} shared paths"
    )


def _file_system(directory: Path) -> str:
    return quietly(["df", "--output=fstype", directory]).decode().split()[-1]

"""`graft rewrite`: one tree or one stream, without a store."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest

from graft.formats import nar
from graft.jobs.apply import apply
from tests.archives import File, Folder, archive_of
from tests.graftable import Graftable
from tests.store_objects import new_store

pytestmark = pytest.mark.slow

OLD = "0" * 32 + "-lib-1.0"
NEW = "1" * 32 + "-lib-1.1"


def _filter(
    data: bytes, *arguments: str, status: int = 0
) -> tuple[bytes, subprocess.CompletedProcess[bytes]]:
    result = subprocess.run(
        [sys.executable, "-m", "graft", "rewrite", *arguments],
        input=data,
        capture_output=True,
        check=False,
    )
    assert result.returncode == status, result.stderr
    return result.stdout, result


def test_any_stream_is_filtered_and_the_stats_are_json_on_stderr() -> None:
    data = f"a {OLD} b {OLD[:32]} c {OLD[:32]}-other".encode()
    out, result = _filter(data, f"--replace={OLD}={NEW}", "--stats")
    assert out.decode() == f"a {NEW} b {NEW[:32]} c {NEW[:32]}-other"
    assert json.loads(result.stderr) == {
        "references": 3,
        "bare": 2,
        "overlapped": 0,
        "bytes": len(data),
        "files": {"patched": 0, "linked": 0, "reflinked": 0, "copied": 0},
    }


@pytest.mark.parametrize(
    "pair",
    [
        f"{OLD}={NEW}",
        f"{OLD[:32]}={NEW[:32]}",
        f"/nix/store/{OLD}=/nix/store/{NEW}",
        f"/nix/store/{OLD}={NEW}",
    ],
)
def test_hash_parts_base_names_and_paths_are_taken(pair: str) -> None:
    out, _ = _filter(OLD.encode(), f"--replace={pair}")
    assert out[:32] == NEW[:32].encode()


def test_another_directory_is_no_part_of_a_rewrite() -> None:
    pair = f"/nix/store/{OLD}=/gnu/store/{NEW}"
    out, result = _filter(OLD.encode(), f"--replace={pair}", status=2)
    assert out == b""
    assert b"lie in different directories" in result.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_map_file_holds_replacements(tmp_path: Path, form: str) -> None:
    file = tmp_path / "map"
    document = {"version": 1, "replacements": {OLD: NEW}}
    file.write_text(f"{OLD} {NEW}\n" if form == "text" else json.dumps(document))
    out, _ = _filter(OLD.encode(), f"--map={file}")
    assert out == NEW.encode()


def test_a_nar_is_treated_as_one_unless_it_is_to_be_raw() -> None:
    # Two names that would change their order: as plain bytes nobody sees that.
    archive = archive_of(Folder({OLD.encode(): File(b""), b"00": File(OLD.encode())}))
    pair = f"--replace={OLD}={'0' * 31}/-lib-1.1".replace("/", "a")
    out, _ = _filter(archive, pair)
    assert out == archive.replace(OLD.encode(), f"{'0' * 31}a-lib-1.1".encode())
    first = archive_of(Folder({OLD.encode(): File(b""), b"0z": File(b"")}))
    last = f"--replace={OLD}={NEW}"
    _, result = _filter(first, last, status=2)
    assert b"can" in result.stderr
    assert b"sorted" in result.stderr
    out, _ = _filter(first, last, "--raw")
    assert out == first.replace(OLD.encode(), NEW.encode())


@pytest.mark.parametrize(
    "arguments",
    [
        [f"--replace={OLD}={NEW}x"],
        [f"--replace={OLD}"],
        [f"--replace={OLD}={NEW}", f"--replace={OLD}={OLD}"],
        ["--replace=x=y"],
        ["--map=/nowhere"],
        ["only-a-source"],
        ["--raw", "a", "b"],
        ["--json"],
    ],
)
def test_bad_arguments_are_one_line_with_status_two(arguments: list[str]) -> None:
    out, result = _filter(b"", *arguments, status=2)
    assert result.stderr.startswith(b"graft: error: ")
    assert result.stderr.count(b"\n") == 1
    if arguments != ["--json"]:
        assert out == b""


def test_a_broken_nar_is_one_line_with_status_two() -> None:
    _, result = _filter(nar.MAGIC + b"\1" * 8, f"--replace={OLD}={NEW}", status=2)
    assert result.stderr.startswith(b"graft: error: nar, byte")


@pytest.mark.parametrize("arguments", [[], ["--raw"]])
def test_a_reader_that_leaves_ends_it_as_any_program(arguments: list[str]) -> None:
    graft = subprocess.Popen(
        [sys.executable, "-m", "graft", "rewrite", f"--replace={OLD}={NEW}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert graft.stdout is not None
    graft.stdout.close()
    _, complaint = graft.communicate(archive_of(File(b"x" * 1_000_000)))
    assert (graft.returncode, complaint) == (-signal.SIGPIPE, b"")


def test_a_full_disk_is_one_line_with_status_two() -> None:
    with open("/dev/full", "wb") as full:
        graft = subprocess.run(
            [sys.executable, "-m", "graft", "rewrite", f"--replace={OLD}={NEW}"],
            input=b"x" * 1000,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert graft.returncode == 2
    assert graft.stderr == b"graft: error: cannot write to stdout: No space left on device\n"


@pytest.mark.parametrize("arguments", [[], ["--quiet"]])
def test_what_takes_long_shows_a_bar_on_a_terminal(arguments: list[str]) -> None:
    ours, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    graft = subprocess.Popen(
        [sys.executable, "-m", "graft", "rewrite", f"--replace={OLD}={NEW}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal,
        bufsize=0,  # what is read here is not lost to communicate
    )
    os.close(terminal)
    assert graft.stdin is not None
    assert graft.stdout is not None
    graft.stdin.write(b"/" * 10_000)
    graft.stdout.read(1)  # it has begun
    time.sleep(1.2)  # bars are for what takes more than a second
    assert graft.communicate(b"/" * 10_000)[0] == b"/" * 19_999
    assert graft.returncode == 0
    shown = b""
    with open(ours, "rb", buffering=0) as stream, suppress(OSError):  # EIO at the end
        while piece := stream.read(1000):
            shown += piece
    assert (b"rewriting: " in shown) == (not arguments)


@pytest.mark.nix
def test_the_plumbing_gives_what_apply_gives_byte_for_byte(tmp_path: Path) -> None:
    it = Graftable.build(new_store(tmp_path))
    outcome = apply(it.store, [it.env], {it.old: it.new})
    for rewrite in outcome.plan.rewrites:
        table = tmp_path / f"{rewrite.path}.map"
        pairs = {**rewrite.references, rewrite.path: rewrite.new_path}
        table.write_text("".join(f"{old} {new}\n" for old, new in pairs.items()))
        dumped, applied = (
            subprocess.run(["nix-store", "--dump", tree], capture_output=True, check=True).stdout
            for tree in (it.tree(rewrite.path), it.tree(rewrite.new_path))
        )
        filtered, _ = _filter(dumped, f"--map={table}")
        assert filtered == applied
        copy = tmp_path / f"{rewrite.path}-copy"
        _filter(b"", f"--map={table}", it.tree(rewrite.path), str(copy))
        copied = subprocess.run(["nix-store", "--dump", copy], capture_output=True, check=True)
        assert copied.stdout == applied

"""From cache to cache nothing is unpacked: strace sees no file below the temporary directory.

An unlinked one may be there, with the programs that are held against what they will load.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.caches import cache_of
from tests.graftable import Graftable
from tests.store_objects import Contents, add_object

pytestmark = [pytest.mark.slow, pytest.mark.needs("strace")]

# Calls that put something into a directory. Python itself tries whether it may write there.
_MAKING = "trace=/^(open|creat|mkdir|symlink|link|rename|mknod)"
_MADE = re.compile(r"O_CREAT|mkdir|symlink|link(at)?\(|rename|mknod|creat\(")
_TRIED = re.compile(r'/scratch/[a-z0-9_]{8}", O_RDWR\|O_CREAT\|O_EXCL')


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Graftable]:
    location = Location.at_root(str(tmp_path / "local"))
    LocalStore.create(location)
    with LocalStore(location=location) as store:
        yield Graftable.build(store)


def _made(it: Graftable, root: StorePath, directory: Path) -> list[str]:
    """What a graft from cache to cache makes below its temporary directory, as strace tells."""
    scratch, trace = directory / "scratch", directory / "trace"
    scratch.mkdir()
    cache_of(it.store, directory / "source")
    full = it.store.store_dir.path
    strace = ["strace", "-f", "-y", "-qq", "-e", _MAKING, "-o", str(trace)]
    command = [sys.executable, "-m", "graft", f"--store=file://{directory}/source", "-q", "apply"]
    command += [f"--to=file://{directory}/target", "--no-check-sigs", full(root)]
    command += [f"--replace={full(it.old)}={full(it.new)}"]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    subprocess.run([*strace, *command], check=True, capture_output=True, env=environment)
    lines = trace.read_text(errors="replace").splitlines()
    assert any("O_CREAT" in line and f"{directory}/target" in line for line in lines)
    made = [line for line in lines if str(scratch) in line and _MADE.search(line)]
    return [line for line in made if not _TRIED.search(line)]


def test_nothing_is_unpacked(it: Graftable, tmp_path: Path) -> None:
    assert _made(it, it.env, tmp_path) == []


def test_what_a_fixup_replaces_is_not_unpacked_either(it: Graftable, tmp_path: Path) -> None:
    page = gzip.compress(it.store.store_dir.path(it.old).encode() * 100, mtime=0)
    manual = add_object(it.store, "manual-1", {"share": {"a.1.gz": page}}, [it.old])
    assert _made(it, manual, tmp_path) == []


def test_only_an_object_whose_files_depend_on_each_other_is(it: Graftable, tmp_path: Path) -> None:
    module = it.store.store_dir.path(it.old).encode()
    digest = urlsafe_b64encode(hashlib.sha256(module).digest()).rstrip(b"=")
    record = b"a.py,sha256=%s,%d\n" % (digest, len(module))
    package: Contents = {"a.py": module, "a-1.dist-info": {"RECORD": record}}
    made = _made(it, add_object(it.store, "package-1", package, [it.old]), tmp_path)
    assert any("a.py" in line for line in made)

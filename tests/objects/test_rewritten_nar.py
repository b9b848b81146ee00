"""NARs rewritten while they pass become, byte for byte, what the same trees become on a disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import py_compile
import tempfile
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from graft.errors import CorruptCacheError, FixupError, NameCollisionError
from graft.fixups import Limits, Registry, registered
from graft.formats.store_path import StorePath
from graft.kernel.tree.unpacking import unpack_archive
from graft.objects.object_rewrite import Rewriting
from graft.objects.reading import Sink
from graft.objects.rewritten_nar import Reading, read_rewritten
from graft.objects.search import DeepSearch
from graft.store.objects import NarObject, StoreObject, TreeObject
from graft.store.writable_cache import WritableCache
from tests.archives import File, Folder, Link, Node, archive_of
from tests.caches import STORE, add_nar, new_cache, spoil
from tests.detached_symbols import with_detached_symbols
from tests.examples import examples
from tests.fixups.samples import NEW, OLD, tar, text, zipped

OLD_PATH, NEW_PATH = (StorePath(base.decode()) for base in (OLD, NEW))
FULL = b"/nix/store/" + OLD


@dataclass(frozen=True)
class Read:
    """What was handed over of an object."""

    nar: bytes
    begun: int
    reading: Reading


def _read(original: StoreObject, registry: Registry, path: StorePath) -> Read:
    nars: list[bytearray] = []

    def begin() -> Sink:
        nars.append(bytearray())
        return nars[-1].extend

    rewriting = Rewriting(path, path, {OLD_PATH: NEW_PATH}, registry, STORE)
    search = DeepSearch([OLD_PATH, NEW_PATH])
    reading = read_rewritten(original, rewriting, begin, search=search)
    return Read(bytes(nars[-1]), len(nars), reading)


class Twins:
    """One object in a cache and on a disk."""

    def __init__(self, directory: Path) -> None:
        self.cache = new_cache(directory / "cache")
        self._directory = directory
        self._count = 0

    def read(self, node: Node, registry: Registry | None = None) -> Read:
        """What the object in the cache becomes; the tree becomes the same."""
        registry = registered() if registry is None else registry
        self._count += 1
        path = add_nar(self.cache, f"object-{self._count}", node).path
        tree = self._directory / str(self._count) / str(path)
        tree.parent.mkdir()
        unpack_archive(io.BytesIO(archive_of(node)).readinto, tree)
        there = _read(TreeObject(str(tree)), registry, path)
        here = _read(NarObject(self.cache, path), registry, path)
        assert here.nar == there.nar
        assert here.reading.fixed == there.reading.fixed
        assert here.reading.found == there.reading.found
        assert here.reading.original_size == there.reading.original_size
        one, other = here.reading.report, there.reading.report
        assert one.nar_size == other.nar_size == len(here.nar)
        assert (one.references, one.bare, one.overlapped) == (
            other.references,
            other.bare,
            other.overlapped,
        )
        assert one.files.patched == other.files.patched
        assert (one.regular_files, one.bytes_read) == (other.regular_files, other.bytes_read)
        assert (one.directories, one.symlinks) == (other.directories, other.symlinks)
        return here


@pytest.fixture
def twins(tmp_path: Path) -> Twins:
    return Twins(tmp_path)


def _files(files: dict[str, bytes]) -> Folder:
    """A tree of files by their paths."""
    top = Folder()
    for path, contents in files.items():
        *directories, name = path.encode().split(b"/")
        folder = top
        for directory in directories:
            inner = folder.entries.setdefault(directory, Folder())
            assert isinstance(inner, Folder)
            folder = inner
        folder.entries[name] = File(contents)
    return top


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _record(files: dict[str, bytes]) -> bytes:
    lines = [
        f"{path},sha256={urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},"
        f"{len(data)}\n"
        for path, data in files.items()
    ]
    return "".join(lines).encode()


# What becomes of each is known while it passes.
PASSING = {
    "a compressed page": {"a.1.gz": _packed(text()), "b.1.gz": _packed(b"nothing")},
    "archives": {"a.tar": tar([("a", text())]), "b.zip": zipped([("b", text())])},
    "what is left alone": {"signed.jar": zipped([("META-INF/K.SF", b""), ("a", text())])},
    "a signed file that changes, before its signature": {"a.gz.sig": b"", "b": FULL},
    "a file and its signature": {"a": FULL, "a.sig": b""},
    "a list of files that stay": {
        "m/a.py": b"pass\n",
        "m-1.dist-info/RECORD": _record({"m/a.py": b"pass\n"}),
        "script": FULL,
    },
    "a list of files of which none comes": {"m-1.dist-info/RECORD": _record({"m/a.py": b""})},
    "a large file": {"large": b"x" * 300_000 + FULL + b"y" * 300_000},
    "an empty one": {"empty.gz": b"", "z": FULL},
}

# Others must be seen for it.
UNPACKED = {
    "a signature behind a file that changes": {"a.gz": _packed(text()), "a.gz.sig": b""},
    "a list before a file that changes": {
        "a-1.dist-info/RECORD": _record({"b.py": FULL}),
        "b.py": FULL,
    },
    "a list behind one": {
        "m/a.py": FULL,
        "m-1.dist-info/RECORD": _record({"m/a.py": FULL}),
    },
    "sums of a package's files": {
        ".cargo-checksum.json": json.dumps(
            {"files": {"lib.rs": hashlib.sha256(FULL).hexdigest()}}
        ).encode(),
        "lib.rs": FULL,
    },
    "names in another order": {f"{OLD.decode()}/a": b"", f"{OLD.decode()[:20]}zz/a": b""},
}


@pytest.mark.parametrize("files", PASSING.values(), ids=PASSING)
def test_a_nar_is_rewritten_while_it_passes(
    twins: Twins, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = twins.read(_files(files))
    assert read.begun == 1
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    path = add_nar(twins.cache, "again", _files(files)).path
    again = _read(NarObject(twins.cache, path), registered(), path)
    assert again.nar == read.nar


@pytest.mark.parametrize("files", UNPACKED.values(), ids=UNPACKED)
def test_a_nar_is_unpacked_where_a_file_depends_on_others(
    twins: Twins, files: dict[str, bytes]
) -> None:
    assert twins.read(_files(files)).begun == 2


def test_checksums_are_looked_for_in_an_unpacked_nar(twins: Twins) -> None:
    sums = hashlib.sha256(FULL).hexdigest().encode() + b"  b\n"
    read = twins.read(_files({"SHA256SUMS": sums, "b": FULL}), registered(("checksums",)))
    assert read.begun == 1
    assert hashlib.sha256(b"/nix/store/" + NEW).hexdigest().encode() in read.nar


def test_a_list_is_reached_through_a_symlink(twins: Twins) -> None:
    tree = _files({"lib/a.py": FULL, "m-1.dist-info/RECORD": _record({"lib64/a.py": FULL})})
    tree.entries[b"lib64"] = Link(b"lib")
    assert twins.read(tree).begun == 2
    tree = _files({"a-1.dist-info/RECORD": _record({"lib64/a.py": FULL}), "lib/a.py": FULL})
    tree.entries[b"lib64"] = Link(b"lib")
    assert twins.read(tree).begun == 2


def test_byte_code_gets_the_hash_of_its_new_source(twins: Twins, tmp_path: Path) -> None:
    source, made = tmp_path / "a.py", tmp_path / "a.pyc"
    for contents, begun in ((b"x = 1\n", 1), (b"x = '" + FULL + b"'\n", 2)):
        source.write_bytes(contents)
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        py_compile.compile(str(source), str(made), dfile="a.py", invalidation_mode=mode)
        read = twins.read(_files({"a.py": contents, "a.pyc": made.read_bytes()}))
        assert read.begun == begun


@pytest.mark.needs("gcc", "objcopy")
def test_the_sum_of_detached_symbols_follows_them(twins: Twins, tmp_path: Path) -> None:
    program, debug = with_detached_symbols(FULL.decode(), tmp_path)
    assert twins.read(_files({"bin/tool": program})).begun == 1
    for name in ("lib/debug/tool.debug", "a/tool.debug"):
        assert twins.read(_files({"bin/tool": program, name: debug})).begun == 2


def test_what_is_too_large_is_counted_as_in_a_tree(twins: Twins) -> None:
    small = registered(limits=Limits(size=1000))
    files = {"a.tar": tar([("a", text())]), "b.gz": _packed(bytes(5_000_000)), "c": FULL}
    read = twins.read(_files(files), small)
    assert read.begun == 1
    assert [fixed.replaced for fixed in read.reading.fixed] == [True, True]
    assert OLD_PATH in read.reading.found


def test_an_object_may_be_one_file(twins: Twins) -> None:
    assert twins.read(File(_packed(text()), executable=True)).begun == 1
    assert twins.read(Link(FULL)).begun == 1


def test_a_file_that_must_not_be_left_alone_is_named(twins: Twins) -> None:
    image = bytes(1024) + b"\xe2\xe1\xf5\xe0" + FULL
    path = add_nar(twins.cache, "system", _files({"a-etc-metadata.erofs": image})).path
    with pytest.raises(FixupError, match=STORE.path(path)):
        _read(NarObject(twins.cache, path), registered(), path)


def test_a_damaged_nar_is_told_before_its_files(twins: Twins, tmp_path: Path) -> None:
    files = {"a.gz": _packed(text()), "b": b"x" * 100_000}
    path = add_nar(twins.cache, "damaged", _files(files)).path
    spoil(tmp_path / "cache", path, nar_hash=bytes(32))
    with pytest.raises(CorruptCacheError):
        _read(NarObject(WritableCache.open(twins.cache.url), path), registered(), path)


_NAMES = st.sampled_from(["a", "a.gz", "a.gz.sig", "b.py", "RECORD", "z.tar", OLD.decode()])
_CONTENTS = st.sampled_from(
    [b"", FULL, _packed(text()), tar([("a", text())]), _record({"../b.py": FULL}), b"MZ", b"x" * 40]
)


@examples(1, [HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(
        st.lists(_NAMES, min_size=1, max_size=2).map("/".join), _CONTENTS, max_size=6
    )
)
def test_any_nar_becomes_what_its_tree_becomes(files: dict[str, bytes], twins: Twins) -> None:
    paths = set(files)
    if any(f"{path}/" in other for path in paths for other in paths if other.startswith(path)):
        return
    try:
        twins.read(_files(files))
    except NameCollisionError:
        return

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import NoReturn
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from graft import kernel
from graft.errors import (
    ChangedFileError,
    GraftError,
    NameCollisionError,
    NoSpaceError,
    StorePermissionError,
    TreeError,
    UnsupportedFileError,
)
from graft.formats import nar
from graft.kernel import Table, native_table, reference
from graft.kernel.anchors import make_anchors
from graft.kernel.native import load
from graft.kernel.place import Place, Site, Where
from graft.kernel.tree import (
    FileCounts,
    Marks,
    Suspicion,
    TreeReport,
    copy_tree,
    read_tree,
    remove_tree,
    sync_file_system,
)
from graft.kernel.tree import mapping as reading
from graft.kernel.tree.descent import OPEN_LEVELS
from graft.kernel.tree.mapping import NEVER
from graft.kernel.tree.suspicion import MOST
from tests.examples import examples
from tests.ordinary_user import as_ordinary_user

REQUIRE_ALL = os.environ.get("GRAFT_TEST_REQUIRE_ALL") == "1"
ROOT = os.geteuid() == 0

OLD = b"0123456789abcdfghijklmnpqrsvwxyz-lib-1.0"
NEW = b"zyxwvsrqpnmlkjihgfdcba9876543210-lib-1.1"
SWAP = b"g" * 32, b"h" * 32
OTHER = b"1" * 32 + b"-other"

# A swap, a name, a bare hash part: everything a table may hold.
ENTRIES: list[tuple[bytes, bytes | None]] = [(OLD, NEW), SWAP, SWAP[::-1]]
WANTED: list[tuple[bytes, bytes | None]] = [
    (NEW, None),
    (OLD, None),
    (SWAP[0], None),
    (OTHER, None),
]

# Magics at the front, behind a short file's end, and in what is rewritten; a suffix, two names.
MARKS = Marks(
    magics=((0, OLD[:9]), (1, b"\1\1"), (30, OLD[2:4]), (2047, b"\1")),
    suffixes=(b"z", b"den"),
    names=(b"-", OLD),
)


def no_native() -> NoReturn:
    reason = "the native kernel was not built"
    if REQUIRE_ALL:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


# At steps of three; and in files that begin with two of these bytes.
SUSPECTED = [NEW[3:11], OLD[6:14], b"0" * 8]


@dataclass(frozen=True)
class Kernel:
    name: str
    native: ModuleType | None
    table: type[Table]

    def suspicions(self) -> tuple[Suspicion, ...]:
        with self.used():
            everywhere = Suspicion(make_anchors(SUSPECTED, 3))
            return everywhere, Suspicion(make_anchors([b"\1" * 8, SUSPECTED[1]]), (b"\1\1",))

    @contextmanager
    def used(self) -> Iterator[None]:
        with mock.patch.object(kernel, "native", self.native):
            yield


def kernels() -> dict[str, Kernel]:
    module = load()
    found = {"reference": Kernel("reference", None, reference.Table)}
    if module is not None:
        found["native"] = Kernel("native", module, native_table(module, module.variants()[0]))
    return found


KERNELS = kernels()


@pytest.fixture(params=["native", "reference"])
def twin(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """Each of the two kernels, in use."""
    if request.param not in KERNELS:
        no_native()
    with KERNELS[request.param].used():
        yield KERNELS[request.param]


@contextmanager
def mapped(every: bool, window: int) -> Iterator[None]:
    """Every file is mapped, or none is."""
    with (
        mock.patch.object(reading, "MAP_FROM", 0 if every else NEVER),
        mock.patch.object(reading, "THREADS_MAP_FROM", 0 if every else NEVER),
        mock.patch.object(reading, "MAP_WINDOW", window),
    ):
        yield


@pytest.fixture
def scratch() -> Iterator[str]:
    """A directory that goes away however deep and read-only what is in it is."""
    with scratch_directory() as directory:
        yield directory


@pytest.fixture
def quick_scratch() -> Iterator[str]:
    """The same in memory where possible: for thousands of directories."""
    with scratch_directory("/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as directory:
        yield directory


@contextmanager
def scratch_directory(parent: str | None = None) -> Iterator[str]:
    directory = tempfile.mkdtemp(prefix="graft-tree-", dir=parent)
    try:
        yield directory
    finally:
        remove_tree(directory)


def join(*parts: str | bytes) -> str:
    return os.path.join(*map(os.fsdecode, parts))


# ---- trees as values -----------------------------------------------------------------------


@dataclass(eq=False)
class File:
    contents: bytes = b""
    executable: bool = False
    canonical: bool = True


@dataclass(frozen=True)
class Link:
    target: bytes


@dataclass(frozen=True)
class Twin:
    """A hard link to one of the files before it, whichever `number` says."""

    number: int


@dataclass
class Directory:
    entries: dict[bytes, Node] = field(default_factory=dict)


Node = File | Link | Twin | Directory


def resolved(node: Node, files: list[File]) -> Node:
    """The tree with every Twin replaced by the very object it is a link to."""
    if isinstance(node, Directory):
        return Directory({name: resolved(child, files) for name, child in node.entries.items()})
    if isinstance(node, Twin):
        node = files[node.number % len(files)] if files else File()
    if isinstance(node, File):
        files.append(node)
    return node


def build(node: Node, path: str, made: dict[int, str] | None = None) -> None:
    made = {} if made is None else made
    if isinstance(node, Directory):
        os.mkdir(path)
        for name, child in node.entries.items():
            build(child, join(path, name), made)
    elif isinstance(node, Link):
        os.symlink(node.target, os.fsencode(path))
    elif isinstance(node, File):
        if id(node) in made:
            os.link(made[id(node)], path)
            return
        made[id(node)] = path
        write(path, node.contents, executable=node.executable, canonical=node.canonical)


def write(
    path: str, contents: bytes, *, executable: bool = False, canonical: bool = True
) -> os.stat_result:
    Path(path).write_bytes(contents)
    os.chmod(
        path, (0o555 if executable else 0o444) if canonical else 0o744 if executable else 0o640
    )
    os.utime(path, ns=(0, 1_000_000_000 if canonical else 5_000_000_000))
    return os.stat(path)


def rewritten(node: Node, table: Table, done: dict[int, File]) -> Node:
    """What copying must give; NameCollisionError where it must fail."""
    if isinstance(node, Directory):
        entries: dict[bytes, Node] = {}
        for name, child in node.entries.items():
            new = table.rewrite(name)[0]
            if new in entries:
                raise NameCollisionError(repr(new))
            entries[new] = rewritten(child, table, done)
        return Directory(dict(sorted(entries.items())))
    if isinstance(node, Link):
        return Link(table.rewrite(node.target)[0])
    assert isinstance(node, File)
    if id(node) not in done:
        done[id(node)] = File(table.rewrite(node.contents)[0], node.executable, node.canonical)
    return done[id(node)]


def archive_of(node: Node) -> bytes:
    if isinstance(node, Directory):
        entries = (
            nar.entry_head(name) + archive_of(child) + nar.ENTRY_TAIL
            for name, child in sorted(node.entries.items())
        )
        return nar.DIRECTORY_HEAD + b"".join(entries) + nar.DIRECTORY_TAIL
    if isinstance(node, Link):
        return nar.symlink_object(node.target)
    assert isinstance(node, File)
    size = len(node.contents)
    head = nar.regular_head(size, executable=node.executable)
    return head + node.contents + nar.regular_tail(size)


def hits_of(node: Node, table: Table, path: bytes = b"") -> list[Place]:
    """What a report of a result must list, in the order it must list it."""
    if isinstance(node, Directory):
        found = []
        for name, child in sorted(node.entries.items()):
            below = os.path.join(path, name)
            found += [located(below, hit, "name") for hit in table.find(name)[0]]
            found += hits_of(child, table, below)
        return found
    if isinstance(node, Link):
        return [located(path, hit, "target") for hit in table.find(node.target)[0]]
    assert isinstance(node, File)
    return [located(path, hit, "contents") for hit in table.find(node.contents)[0]]


def changed_in(node: Node, path: bytes = b"") -> list[bytes]:
    """The files of an original in which references are rewritten."""
    if isinstance(node, Directory):
        children = node.entries.items()
        return [
            file for name, child in children for file in changed_in(child, os.path.join(path, name))
        ]
    if isinstance(node, Link):
        return []
    assert isinstance(node, File)
    return [path] if reference.Table(ENTRIES).rewrite(node.contents)[1] else []


def marked_in(node: Node, path: bytes = b"", name: bytes = b"source") -> list[bytes]:
    """The files of an original that have one of the marks."""
    if isinstance(node, Directory):
        pairs = [(child, os.path.join(path, name), name) for name, child in node.entries.items()]
        return sorted(file for pair in pairs for file in marked_in(*pair))
    if isinstance(node, Link):
        return []
    assert isinstance(node, File)
    magics = any(node.contents[at : at + len(magic)] == magic for at, magic in MARKS.magics)
    return [path] if magics or name.endswith(MARKS.suffixes) or name in MARKS.names else []


def suspects_in(node: Node, path: bytes = b"", name: bytes | None = None) -> list[Site]:
    """The places of a result in which a suspected word stands."""

    def stand(text: bytes, words: list[bytes], step: int) -> bool:
        return any(text[at : at + 8] in words for at in range(0, len(text) - 7, step))

    found = [Site(path, "name")] if name is not None and stand(name, SUSPECTED, 3) else []
    if isinstance(node, Directory):
        for below, child in node.entries.items():
            found += suspects_in(child, os.path.join(path, below), below)
    elif isinstance(node, Link):
        found += [Site(path, "target")] if stand(node.target, SUSPECTED, 3) else []
    else:
        assert isinstance(node, File)
        text = node.contents
        more = text.startswith(b"\1\1") and stand(text, [b"\1" * 8, SUSPECTED[1]], 1)
        found += [Site(path, "contents")] if stand(text, SUSPECTED, 3) or more else []
    return sorted(found)


def located(path: bytes, hit: reference.Hit, where: Where) -> Place:
    return Place(
        file=path,
        where=where,
        offset=hit.offset,
        encoding=reference.ENCODINGS[hit.stride],
        hash_part=WANTED[hit.index][0][:32].decode(),
    )


def on_disk(path: str) -> dict[str, tuple[object, ...]]:
    """Everything about a tree: by relative path its type, mode, times, owner, links and bytes."""
    facts: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    pending = [""]
    while pending:
        relative = pending.pop()
        full = join(path, relative) if relative else path
        status = os.lstat(full)
        contents: object = None
        if stat.S_ISDIR(status.st_mode):
            pending += sorted((join(relative, name) for name in os.listdir(full)), reverse=True)
        elif stat.S_ISLNK(status.st_mode):
            contents = os.readlink(full)
        else:
            contents = Path(full).read_bytes()
        links = 0 if stat.S_ISDIR(status.st_mode) else status.st_nlink
        same = first.setdefault(status.st_ino, relative)
        owner = status.st_uid, status.st_gid
        facts[relative] = (status.st_mode, status.st_mtime_ns, *owner, links, same, contents)
    return facts


# ---- strategies ----------------------------------------------------------------------------


def encoded(text: bytes, stride: int) -> bytes:
    return b"".join(text[i : i + 1] + bytes(stride - 1) for i in range(len(text)))


KNOWN = [OLD, NEW, *SWAP, OTHER, OLD[:32], OLD[:40], NEW[1:33]]
references = st.builds(
    lambda text, stride, cut: encoded(text, stride)[:cut],
    st.sampled_from(KNOWN),
    st.sampled_from([1, 1, 2, 4]),
    st.sampled_from([None, None, None, -1, 33]),
)
filler = st.builds(lambda byte, count: byte * count, st.binary(max_size=3), st.integers(0, 1100))
contents = st.lists(st.one_of(references, references, filler), max_size=8).map(b"".join)
small_contents = st.lists(st.one_of(references, st.binary(max_size=9)), max_size=4).map(b"".join)


def in_path(text: bytes) -> bool:
    return not {b"/", b"\0"} & {text[i : i + 1] for i in range(len(text))}


words = st.binary(max_size=5).filter(in_path)
plain_names = st.binary(min_size=1, max_size=6).filter(
    lambda text: in_path(text) and text not in {b".", b".."}
)
names = st.one_of(
    plain_names,
    plain_names,
    st.builds(lambda a, b, c: a + b + c, words, st.sampled_from(KNOWN), words),
    st.sampled_from([b"\n", b"\xff\xfe", b"-", b"z" * 255, b".hidden", b"a b"]),
)
links = st.one_of(
    plain_names,
    st.builds(lambda a, b: b"/nix/store/" + a + b"/x" + b, st.sampled_from(KNOWN), words),
).map(Link)


def nodes(file_contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[Node]:
    files = st.builds(File, file_contents, st.booleans(), st.booleans())
    leaves: st.SearchStrategy[Node] = st.one_of(
        files, files, links, st.builds(Twin, st.integers(0, 9))
    )
    trees: st.SearchStrategy[Node] = st.recursive(
        leaves,
        lambda children: st.dictionaries(names, children, max_size=6).map(Directory),
        max_leaves=14,
    )
    return trees.map(lambda node: resolved(node, []))


def outcome(
    twin: Kernel, source: str, target: str | None, window: int
) -> tuple[TreeReport | None, str, bytes]:
    """The report, or the error's kind and path; and the NAR."""
    pieces: list[bytes] = []

    def sink(piece: memoryview) -> None:
        pieces.append(bytes(piece))

    wanted = twin.table(WANTED)
    with twin.used():
        try:
            if target is None:
                report = read_tree(source, wanted=wanted, sink=sink, report=True, window=window)
            else:
                report = copy_tree(
                    source,
                    target,
                    twin.table(ENTRIES),
                    wanted=wanted,
                    sink=sink,
                    marks=MARKS,
                    suspicions=twin.suspicions(),
                    report=True,
                    window=window,
                )
        except GraftError as error:
            return None, f"{error.kind}: {error}", b""
    return report, "", b"".join(pieces)


def check_copy(twin: Kernel, node: Node, source: str, window: int) -> object:
    """Copies a tree that was built and checks all there is; returns it to hold against a twin's."""
    target = source + ".copy"
    report, error, archive = outcome(twin, source, target, window)
    try:
        expected = rewritten(node, reference.Table(ENTRIES), {})
    except NameCollisionError:
        assert error.startswith("name-collision")
        assert not os.path.lexists(target)
        return error
    assert report is not None, error
    try:
        assert archive == nar.MAGIC + archive_of(expected)
        assert report.nar_size == len(archive)
        found = hits_of(expected, reference.Table(WANTED))
        assert report.found == tuple(found)
        assert report.marked == tuple(sorted({*marked_in(node), *changed_in(node)}))
        assert report.suspects == tuple(suspects_in(expected))
        assert {WANTED[index][0][:32].decode() for index in report.seen} == {
            place.hash_part for place in found
        }
        sources, targets = on_disk(source), on_disk(target)
        check_metadata(node, sources, targets)
        made = report.files
        assert made.patched + made.linked + made.reflinked + made.copied == report.regular_files
        again = outcome(twin, target, None, window)
        assert again[2] == archive
        assert again[0] is not None
        assert again[0].found == report.found
        assert again[0].files == FileCounts()
        return report, targets
    finally:
        remove_tree(target)


def check_metadata(
    node: Node, sources: dict[str, tuple[object, ...]], targets: dict[str, tuple[object, ...]]
) -> None:
    table = reference.Table(ENTRIES)

    def renamed(path: str) -> str:
        parts = (table.rewrite(part)[0] for part in os.fsencode(path).split(b"/"))
        return os.fsdecode(b"/".join(parts))

    assert targets.keys() == {renamed(path) for path in sources}
    for path, (mode, _, *_, same, contents) in sources.items():
        got_mode, mtime, uid, gid, links, got_same, got = targets[renamed(path)]
        assert isinstance(mode, int)
        assert mtime == 1_000_000_000
        assert (uid, gid) == (os.geteuid(), os.getegid())
        if stat.S_ISREG(mode):
            assert got_mode == stat.S_IFREG | (0o555 if mode & 0o100 else 0o444)
            assert isinstance(contents, bytes)
            assert got == table.rewrite(contents)[0]
            siblings = {renamed(p) for p, facts in sources.items() if facts[-2] == same}
            assert got_same in siblings
            assert isinstance(links, int)
            assert links >= len(siblings)
        elif stat.S_ISDIR(mode):
            assert got_mode == stat.S_IFDIR | 0o555


# ---- the laws ------------------------------------------------------------------------------


@examples(1, list(HealthCheck))
@given(nodes(contents), st.sampled_from([61, 500, 1000, 4096]))
@example(File(OLD * 200), 1000)
@example(File(b"\1" * 988 + OLD + b"\1" * 30 + NEW), 1000)
@example(Directory({OLD: Directory({NEW: Link(OLD)}), NEW[:32] + b"x": File(OLD)}), 61)
@example(Directory({OLD: File(), NEW: File()}), 61)
def test_both_kernels_make_what_the_specification_says(node: Node, window: int) -> None:
    with scratch_directory() as directory:
        source = join(directory, "source")
        build(node, source)
        results = [check_copy(twin, node, source, window) for twin in KERNELS.values()]
    assert all(one == other for one, other in pairwise(results))


@examples(0.6, list(HealthCheck))
@given(small_contents, st.integers(1, 70))
def test_windows_of_any_size_give_the_same(data: bytes, window: int) -> None:
    with scratch_directory() as directory:
        source = join(directory, "source")
        build(File(data), source)
        results = [check_copy(twin, File(data), source, window) for twin in KERNELS.values()]
    assert all(one == other for one, other in pairwise(results))


def seen_and_made(
    twin: Kernel, source: str, window: int, *, sinking: bool, jobs: int
) -> tuple[object, ...]:
    """What came of copying, the NAR last."""
    target, pieces = source + ".copy", list[bytes]()
    try:
        with twin.used():
            report = copy_tree(
                source,
                target,
                twin.table(ENTRIES),
                wanted=twin.table(WANTED),
                sink=(lambda piece: pieces.append(bytes(piece))) if sinking else None,
                marks=MARKS,
                suspicions=twin.suspicions(),
                report=True,
                window=window,
                jobs=jobs,
            )
            digest = hashlib.sha256()
            read_tree(target, sink=digest.update)
        facts = on_disk(target)
        return report, {path: fact[:4] + fact[6:] for path, fact in facts.items()}, digest.digest()
    except GraftError as error:
        return error.kind, str(error)
    finally:
        remove_tree(target)


@examples(1, list(HealthCheck))
@given(node=nodes(contents), mapping=st.booleans(), sinking=st.booleans(), jobs=st.integers(1, 3))
@example(
    node=File(b"\1" * 4080 + OLD + b"\1" * 4040 + NEW + b"\1" * 9000),
    mapping=True,
    sinking=True,
    jobs=1,
)
@example(node=File(b"\1" * 4096), mapping=True, sinking=True, jobs=1)
@example(node=File(b"\1" * 4090 + encoded(OLD, 4) * 70), mapping=True, sinking=False, jobs=2)
def test_mapped_or_read_by_one_thread_or_several_the_result_is_the_same(
    node: Node, mapping: bool, sinking: bool, jobs: int
) -> None:
    with scratch_directory() as directory, mapped(mapping, 1):
        source = join(directory, "source")
        build(node, source)
        results = [
            seen_and_made(twin, source, 1000, sinking=sinking, jobs=jobs)
            for twin in KERNELS.values()
        ]
    assert all(one == other for one, other in pairwise(results))


def test_marked_files_are_told_where_nothing_is_read(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    contents = [b"", b"\1", OLD, b"\1" * 2047, b"\2" * 2047 + b"\1", b"\2" * 5000]
    files = {b"%d" % index: File(data) for index, data in enumerate(contents)}
    node = Directory({**files, b"a" + OLD: files[b"2"], OLD: Directory({b"den": File(b"x")})})
    build(node, source)
    expected = tuple(marked_in(node))
    assert set(expected) == {b"2", b"3", b"4", b"a" + OLD, OLD + b"/den"}
    assert read_tree(source, marks=MARKS).marked == expected
    for jobs in (1, 4):
        assert read_tree(source, wanted=twin.table(WANTED), marks=MARKS, jobs=jobs).marked == (
            expected
        )
        assert copy_tree(source, target, None, marks=MARKS, jobs=jobs).marked == expected
        remove_tree(target)
        table = twin.table(ENTRIES)
        assert copy_tree(source, target, table, marks=MARKS, window=1).marked == expected
        remove_tree(target)
    assert read_tree(source, sink=len).marked == ()


def test_words_are_found_where_nothing_else_is_read(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    word = SUSPECTED[0]
    contents = [b"." * 21 + word, b"." * 22 + word, b"\1\1" + bytes(2041) + SUSPECTED[1], b"\1" * 9]
    files = {b"%d" % index: File(data) for index, data in enumerate(contents)}
    node = Directory({**files, b"a": files[b"2"], word: Link(b"..." + word)})
    build(node, source)
    expected = tuple(suspects_in(node))
    assert {place.file for place in expected} == {b"0", b"2", b"3", b"a", word}
    for jobs in (1, 4):
        assert read_tree(source, suspicions=twin.suspicions(), jobs=jobs).suspects == expected
        copied = copy_tree(source, target, None, suspicions=twin.suspicions(), jobs=jobs)
        assert copied.suspects == expected
        remove_tree(target)


def test_a_magic_of_a_suspicion_is_no_longer_than_a_word(tmp_path: Path) -> None:
    for twin in KERNELS.values():
        anchors = twin.suspicions()[0].anchors
        with twin.used(), pytest.raises(ValueError, match=f"suspicions are {MOST} at most"):
            read_tree(tmp_path, suspicions=[Suspicion(anchors, (b"123456789",))])
        with twin.used(), pytest.raises(ValueError, match=f"suspicions are {MOST} at most"):
            read_tree(tmp_path, suspicions=[Suspicion(anchors)] * (MOST + 1))


@pytest.mark.parametrize("magic", [(-1, b"a"), (0, b""), (2048, b"a")])
def test_a_magic_that_is_in_no_head_is_refused(tmp_path: Path, magic: tuple[int, bytes]) -> None:
    for kernel_in_use in KERNELS.values():
        with kernel_in_use.used(), pytest.raises(ValueError, match="in the first 2048 bytes"):
            read_tree(tmp_path, marks=Marks(magics=(magic,)))


def wide(twins: list[File]) -> Directory:
    """Enough entries for every thread, in directories of all sizes."""
    top: dict[bytes, Node] = {b"many": Directory({b"%d" % i: File(NEW) for i in range(300)})}
    for number in range(30):
        entries: dict[bytes, Node] = {
            b"f%d" % i: File(b"x" * (number * i) + (OLD if i % 3 else b""), i % 2 > 0, i % 5 > 0)
            for i in range(number)
        }
        entries |= {b"twin": twins[number % len(twins)], b"link": Link(OLD), OLD: Directory()}
        top[b"%d" % number] = Directory(entries)
    return Directory(top)


@pytest.mark.slow
@pytest.mark.parametrize("mapping", [True, False])
def test_threads_together_make_and_report_what_one_does(quick_scratch: str, mapping: bool) -> None:
    source = join(quick_scratch, "source")
    build(wide([File(OLD * 40), File(b"copied", canonical=False), File(b"shared")]), source)
    native = KERNELS["native"] if "native" in KERNELS else no_native()
    with mapped(mapping, 1):
        one = seen_and_made(native, source, 4096, sinking=False, jobs=1)
        for jobs in (2, 3, 8, 50):
            assert seen_and_made(native, source, 4096, sinking=False, jobs=jobs) == one
    assert one == seen_and_made(KERNELS["reference"], source, 4096, sinking=False, jobs=1)


def test_of_several_errors_threads_report_the_first_in_the_order_of_the_nar(
    twin: Kernel, scratch: str
) -> None:
    source, target = join(scratch, "source"), join(scratch, "target")
    build(wide([File()]), source)
    for number in range(12, 30):
        os.mkfifo(join(source, str(number), "f3x"))
    for _ in range(10):
        with pytest.raises(UnsupportedFileError) as caught:
            copy_tree(source, target, twin.table(ENTRIES), jobs=4)
        assert caught.value.fields["path"] == join(source, "12", "f3x")
        assert not os.path.lexists(target)


@pytest.mark.slow
def test_threads_hold_few_files_open_however_deep_and_wide_a_tree_is(quick_scratch: str) -> None:
    source, target = join(quick_scratch, "source"), join(quick_scratch, "target")
    build_deep(source, 600, b"d")
    for level in range(0, 300, 3):
        branch = join(source, *["d"] * level, "branch")
        os.makedirs(join(branch, *["e"] * 40))
        for number in range(20):
            os.symlink("x", join(branch, str(number)))
    command = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (460, 460));"
        " from graft.kernel.tree import copy_tree;"
        " copy_tree(sys.argv[1], sys.argv[2], None, jobs=8)"
    )
    subprocess.run([sys.executable, "-c", command, source, target], check=True)
    digests = hashlib.sha256(), hashlib.sha256()
    for top, digest in zip((source, target), digests, strict=True):
        read_tree(top, sink=digest.update)
    assert digests[0].digest() == digests[1].digest()


@examples(0.8, list(HealthCheck))
@given(nodes(contents), st.booleans())
def test_the_empty_table_changes_nothing(node: Node, hard_links: bool) -> None:
    with scratch_directory() as directory:
        source, target = join(directory, "source"), join(directory, "target")
        build(node, source)
        for twin in KERNELS.values():
            before = outcome(twin, source, None, 4096)
            with twin.used():
                report = copy_tree(source, target, twin.table([]), links=hard_links)
            assert report.references == 0
            assert report.files.patched == 0
            assert report.bytes_read == 0
            assert before[0] is not None
            assert report.nar_size == before[0].nar_size
            assert outcome(twin, target, None, 4096) == before
            remove_tree(target)


# ---- what becomes of files -----------------------------------------------------------------


def copied(
    source: str, target: str, twin: Kernel, *, hard_links: bool = True, window: int = 4096
) -> TreeReport:
    return copy_tree(source, target, twin.table(ENTRIES), links=hard_links, window=window)


def test_unchanged_canonical_files_are_the_originals_themselves(
    twin: Kernel, tmp_path: Path
) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(
        Directory({b"a": File(b"x" * 9), b"b": File(b"", executable=True), b"c": File(OLD)}), source
    )
    report = copied(source, target, twin)
    assert report.files == FileCounts(linked=2, patched=1)
    assert (report.bytes_shared, report.bytes_written) == (9, len(OLD))
    for name in "ab":
        assert os.path.samefile(join(source, name), join(target, name))
    assert not os.path.samefile(join(source, "c"), join(target, "c"))


@pytest.mark.parametrize("spoil", ["mode", "mtime", "set-user-id", "attribute", "owner"])
def test_files_that_are_not_canonical_are_copied(twin: Kernel, tmp_path: Path, spoil: str) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    write(source, b"contents")
    if spoil == "mode":
        os.chmod(source, 0o644)
        os.utime(source, ns=(0, 1_000_000_000))
    elif spoil == "mtime":
        os.utime(source, ns=(0, 2_000_000_000))
    elif spoil == "set-user-id":
        os.chmod(source, 0o4555)
    elif spoil == "attribute":
        try:
            os.chmod(source, 0o644)
            os.setxattr(source, "user.note", b"")
            os.chmod(source, 0o444)
        except OSError:
            pytest.skip("no extended attributes here")
    elif not ROOT:
        pytest.skip("only root can give files away")
    else:
        os.chown(source, 12345, -1)
    report = copied(source, target, twin)
    assert report.files in {FileCounts(copied=1), FileCounts(reflinked=1)}
    status = os.stat(target)
    assert status.st_mode == stat.S_IFREG | (0o555 if spoil == "set-user-id" else 0o444)
    assert (status.st_uid, status.st_nlink) == (os.geteuid(), 1)
    assert os.listxattr(target) == []
    assert Path(target).read_bytes() == b"contents"


def test_files_are_copied_where_links_are_not_wanted(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(Directory({b"a": File(b"x" * 100_000), b"b": File(b"small")}), source)
    report = copied(source, target, twin, hard_links=False)
    assert report.files.copied + report.files.reflinked == 2
    assert Path(target, "a").read_bytes() == b"x" * 100_000
    assert Path(target, "b").read_bytes() == b"small"


def test_files_are_copied_to_another_file_system(twin: Kernel, scratch: str) -> None:
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(scratch).st_dev:
        pytest.skip("there is no second file system")
    tree = Directory({b"a": File(b"x" * 9), b"b": File(b"y" * 20_000), b"c": File(b"z" * 5 + OLD)})
    with scratch_directory("/dev/shm") as other:
        source, target = join(other, "source"), join(scratch, "target")
        build(tree, source)
        report = copied(source, target, twin)
        assert report.files == FileCounts(copied=2, patched=1)
        assert Path(target, "b").read_bytes() == b"y" * 20_000


@pytest.mark.slow
@pytest.mark.skipif(not ROOT, reason="only root may mount")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("xfs", marks=pytest.mark.needs("mkfs.xfs")),
        pytest.param("btrfs", marks=pytest.mark.needs("mkfs.btrfs")),
    ],
)
def test_files_share_their_blocks_where_they_cannot_be_linked(
    twin: Kernel, scratch: str, kind: str
) -> None:
    image, disk = join(scratch, "image"), join(scratch, "disk")
    Path(image).touch()
    os.truncate(image, 400 << 20)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True)
    os.mkdir(disk)
    with mounted(kind, "loop", disk, device=image):
        source, target = join(disk, "source"), join(disk, "target")
        data = os.urandom(300_000)
        shared, patched = File(data, canonical=False), File(data + OLD + data)
        tree = Directory({b"a": shared, b"b": shared, b"c": patched, b"d": File(b"canonical")})
        build(tree, source)
        report = copied(source, target, twin)
        assert report.files == FileCounts(reflinked=1, linked=2, patched=1)
        assert report.bytes_shared == 2 * len(data) + 9
        assert Path(target, "b").read_bytes() == data
        assert Path(target, "c").read_bytes() == data + NEW + data


def test_files_whose_links_are_used_up_are_copied(scratch: str) -> None:
    source = join(scratch, "source")
    os.mkdir(source)
    write(join(source, "a"), b"contents")
    write(join(source, "b"), b"others can still be linked")
    os.mkdir(join(scratch, "links"))
    if not links_used_up(join(source, "a"), join(scratch, "links")):
        pytest.skip("this file system has no limit of links that can be reached")
    for name, twin in KERNELS.items():
        target = join(scratch, name)
        with twin.used():
            report = copied(source, target, twin)
        assert report.files in {FileCounts(linked=1, copied=1), FileCounts(linked=1, reflinked=1)}
        assert Path(target, "a").read_bytes() == b"contents"


def links_used_up(file: str, directory: str) -> bool:
    for number in range(70_000):
        try:
            os.link(file, join(directory, str(number)))
        except OSError as error:
            return error.errno == errno.EMLINK
    return False


def test_hard_links_inside_survive_however_a_file_is_made(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    patched, copy, shared = File(b"12" + OLD), File(b"copied", canonical=False), File(b"shared")
    entries: dict[bytes, Node] = {b"p1": patched, b"c1": copy, b"s1": shared}
    below = Directory({b"p2": patched, b"c2": copy, b"s2": shared, b"p3": patched})
    build(Directory({**entries, b"z": below}), source)
    pieces: list[bytes] = []
    wanted = twin.table(WANTED)
    report = copy_tree(
        source,
        target,
        twin.table(ENTRIES),
        wanted=wanted,
        sink=lambda piece: pieces.append(bytes(piece)),
        report=True,
    )
    for one, other in [("p1", "z/p2"), ("p1", "z/p3"), ("c1", "z/c2"), ("s1", "z/s2")]:
        assert os.path.samefile(join(target, one), join(target, other))
    assert os.stat(join(target, "p1")).st_nlink == 3
    assert report.files.patched == 1
    assert report.files.copied + report.files.reflinked == 1
    assert report.files.linked == 5
    assert report.references == 3
    assert [place.file for place in report.found] == [b"p1", b"z/p2", b"z/p3"]
    digest = hashlib.sha256()
    read_tree(target, sink=digest.update)
    assert hashlib.sha256(b"".join(pieces)).digest() == digest.digest()


def test_what_is_made_has_the_metadata_of_a_store(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(Directory({b"a": File(OLD, executable=True), b"d": Directory({b"l": Link(OLD)})}), source)
    os.chmod(join(source, "d"), 0o2775)
    mask = os.umask(0o077)
    try:
        copied(source, target, twin)
    finally:
        os.umask(mask)
    for path in ["", "a", "d", "d/l"]:
        status = os.lstat(join(target, path))
        assert status.st_mtime_ns == 1_000_000_000
        if not stat.S_ISLNK(status.st_mode):
            assert stat.S_IMODE(status.st_mode) == 0o555


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_what_is_made_belongs_to_the_owner_asked_for(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    tree = Directory({b"a": File(OLD), b"b": File(b"b"), b"c": File(b"c"), b"l": Link(b"a")})
    build(tree, source)
    os.chown(join(source, "c"), 12345, 0)
    report = copy_tree(source, target, twin.table(ENTRIES), owner=(12345, 54321))
    assert (report.files.linked, report.files.patched) == (1, 1)
    assert os.path.samefile(join(source, "c"), join(target, "c"))
    for path in ["", "a", "b", "l"]:
        status = os.lstat(join(target, path))
        assert (status.st_uid, status.st_gid) == (12345, 54321)


def test_access_control_lists_are_not_inherited(twin: Kernel, tmp_path: Path) -> None:
    tag = b"".join(
        kind.to_bytes(2, "little") + b"\7\0\xff\xff\xff\xff" for kind in (0x01, 0x04, 0x20)
    )
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", b"\2\0\0\0" + tag)
    except OSError:
        pytest.skip("no access control lists here")
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(Directory({b"d": Directory({b"f": File(OLD)})}), source)
    copied(source, target, twin)
    for path in ["", "d", "d/f"]:
        assert os.listxattr(join(target, path)) == []


# ---- the top, names, order -----------------------------------------------------------------


@pytest.mark.parametrize(
    "node", [File(OLD), File(b"no hit"), File(b"", executable=True), Link(OLD)]
)
def test_the_top_may_be_a_file_or_a_symlink(twin: Kernel, scratch: str, node: Node) -> None:
    source = join(scratch, "source")
    build(node, source)
    check_copy(twin, node, source, 4096)


def test_paths_may_be_text_bytes_or_path_objects_with_a_slash(twin: Kernel, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    write(str(source / "a"), b"x")
    forms: list[str | bytes | Path] = [str(target), os.fsencode(target) + b"/", target]
    for given_target in forms:
        report = copy_tree(str(source) + "/", given_target, None)
        assert report.files.linked == 1
        remove_tree(given_target)
        assert not target.exists()


def test_entries_are_sorted_by_their_new_names(twin: Kernel, scratch: str) -> None:
    source, target = join(scratch, "source"), join(scratch, "target")
    tree = Directory({OLD: File(b"first, then last"), b"5": File(b"between")})
    build(tree, source)
    copied(source, target, twin)
    assert sorted(os.listdir(target)) == ["5", NEW.decode()]
    check_copy(twin, tree, source, 4096)


def test_names_that_become_equal_are_refused(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(Directory({b"d": Directory({OLD: File(), NEW: File()})}), source)
    with pytest.raises(NameCollisionError) as caught:
        copied(source, target, twin)
    assert caught.value.fields["path"] == join(target, "d", NEW)
    assert not os.path.lexists(target)


def test_names_that_lead_out_of_the_tree_are_refused(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(Directory({OLD: File()}), source)
    try:
        table = twin.table([(OLD, NEW[:32] + b"-/../../")])
    except GraftError:
        return  # refused even sooner
    with pytest.raises(TreeError):
        copy_tree(source, target, table)
    assert not os.path.lexists(target)


# ---- what is refused, and what remains -----------------------------------------------------


def make_device(path: str) -> None:
    if not ROOT:
        pytest.skip("only root can make devices")
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


def make_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)


@pytest.mark.parametrize("make", [os.mkfifo, make_socket, make_device])
@pytest.mark.parametrize("top", [True, False])
def test_devices_pipes_and_sockets_are_refused(
    twin: Kernel, scratch: str, make: Callable[[str], None], top: bool
) -> None:
    source, target = join(scratch, "s"), join(scratch, "target")
    special = source if top else join(source, "special")
    if not top:
        build(Directory({b"a": File(OLD), b"d": Directory()}), source)
    make(special)
    with pytest.raises(UnsupportedFileError) as caught:
        copied(source, target, twin)
    assert caught.value.fields["path"] == special
    assert special in str(caught.value)
    assert not os.path.lexists(target)


def test_an_existing_target_is_left_alone(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    tops: list[Node] = [File(b"x"), File(OLD), Link(b"x"), Directory({b"a": File()})]
    for node in tops:
        build(node, source)
        write(target, b"mine")
        with pytest.raises(TreeError, match="exists already"):
            copied(source, target, twin)
        assert Path(target).read_bytes() == b"mine"
        remove_tree(source)
        remove_tree(target)


def test_a_missing_source_is_named(twin: Kernel, tmp_path: Path) -> None:
    with pytest.raises(TreeError, match=r"there is no .*/missing"):
        copied(str(tmp_path / "missing"), str(tmp_path / "target"), twin)
    with pytest.raises(TreeError, match=r"there is no .*/missing"):
        read_tree(tmp_path / "missing")


def test_bytes_that_are_no_utf_8_are_shown_in_messages(twin: Kernel, tmp_path: Path) -> None:
    with pytest.raises(TreeError, match="/a%FFb "):
        read_tree(os.fsencode(tmp_path) + b"/a\xffb")


@as_ordinary_user
def test_an_unreadable_file_is_named(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(Directory({b"a": File(OLD), b"b": File(OLD)}), source)
    os.chmod(join(source, "b"), 0)
    with pytest.raises(StorePermissionError, match=r"may not read .*/source/b "):
        copied(source, target, twin)
    assert not os.path.lexists(target)


CHANGES = [
    (contents, window, size)
    for contents in (b"-" * 300_000, OLD + b"-" * 299_960)
    for window, size in ((4096, 100), (4096, 400_000), (300_000, 400_000))
]


@pytest.mark.parametrize(("contents", "window", "size"), CHANGES)
def test_a_file_that_changes_while_it_is_read_is_named(
    twin: Kernel, tmp_path: Path, contents: bytes, size: int, window: int
) -> None:
    with mapped(every=False, window=1):
        check_change(twin, tmp_path, contents, size, window)


@pytest.mark.parametrize(("contents", "window", "size"), CHANGES)
def test_a_file_that_changes_while_it_is_mapped_is_named(
    tmp_path: Path, contents: bytes, size: int, window: int
) -> None:
    native = KERNELS["native"] if "native" in KERNELS else no_native()
    with native.used(), mapped(every=True, window=window):
        check_change(native, tmp_path, contents, size, window)


def check_change(twin: Kernel, tmp_path: Path, contents: bytes, size: int, window: int) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(Directory({b"d": Directory({b"f": File(contents, canonical=False)})}), source)
    file = join(source, "d", "f")

    def sink(piece: memoryview) -> None:
        if b"-" * 1000 in bytes(piece):
            os.truncate(file, size)

    with pytest.raises(ChangedFileError) as caught:
        copy_tree(source, target, twin.table(ENTRIES), sink=sink, window=window)
    assert caught.value.fields["path"] == file
    assert not os.path.lexists(target)


@pytest.mark.parametrize("left", [0, 100, 4096, 500_000])
@pytest.mark.parametrize("contents", [b"-" * 600_000, (OLD + b"-" * 460) * 1200])
def test_a_mapped_file_that_is_cut_short_is_named(
    tmp_path: Path, contents: bytes, left: int
) -> None:
    """The window is as large as the file: who is given what is gone is the first to touch it."""
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(Directory({b"f": File(contents)}), source)
    os.chmod(join(source, "f"), 0o644)  # only root cuts read-only files

    def sink(piece: memoryview) -> None:
        os.truncate(join(source, "f"), left)
        bytes(piece)

    native = KERNELS["native"] if "native" in KERNELS else no_native()
    with (
        native.used(),
        mapped(every=True, window=1 << 20),
        pytest.raises(ChangedFileError) as caught,
    ):
        copy_tree(source, target, native.table(ENTRIES), sink=sink, links=False)
    assert caught.value.fields["path"] == join(source, "f")
    assert not os.path.lexists(target)


@pytest.mark.parametrize("when", ["while", "after"])
def test_a_bus_error_that_is_not_about_a_mapped_file_goes_where_it_went(
    tmp_path: Path, when: str
) -> None:
    if "native" not in KERNELS:
        no_native()
    write(str(tmp_path / "file"), b"-" * 600_000)
    program = f"""
import faulthandler, os, signal, sys
faulthandler.enable()
from graft.kernel.tree import read_tree
bus = lambda *_: os.kill(os.getpid(), signal.SIGBUS)
read_tree(sys.argv[1], sink={"bus" if when == "while" else "len"})
bus()
"""
    environment = os.environ | {"GRAFT_IO": "mmap", "GRAFT_KERNEL": "native"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "file")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGBUS
    assert "Fatal Python error: Bus error" in done.stderr
    assert ("read_tree" in done.stderr) == (when == "while")


class StopError(Exception):
    pass


@pytest.mark.parametrize("node", [File(b"x" * 99), File(OLD), Directory({b"a": File(OLD)})])
def test_what_the_sink_raises_is_passed_on_and_nothing_remains(
    twin: Kernel, tmp_path: Path, node: Node
) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(node, source)
    error = StopError("enough")

    def sink(_: memoryview) -> None:
        raise error

    with pytest.raises(StopError) as caught:
        copy_tree(source, target, twin.table(ENTRIES), sink=sink)
    assert caught.value is error
    assert not os.path.lexists(target)
    with pytest.raises(StopError):
        read_tree(source, sink=sink)


def test_an_interrupt_is_noticed_and_nothing_remains(twin: Kernel, tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    build(Directory({b"a": File(OLD + b"x" * 500_000)}), source)
    calls = 0

    def sink(_: memoryview) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        copy_tree(source, target, twin.table(ENTRIES), sink=sink)
    assert calls <= 1 or twin.native is None
    assert not os.path.lexists(target)


def test_the_sink_gets_large_pieces_that_do_not_outlive_the_call(scratch: str) -> None:
    if "native" not in KERNELS:
        no_native()
    source = join(scratch, "source")
    build(Directory({b"%d" % i: File(b"x" * 200) for i in range(2000)}), source)
    views: list[memoryview] = []
    sizes: list[int] = []

    def sink(piece: memoryview) -> None:
        views.append(piece)
        sizes.append(len(piece))

    with KERNELS["native"].used():
        report = read_tree(source, sink=sink)
    assert sum(sizes) == report.nar_size
    assert all(size >= 65536 for size in sizes[:-1])
    with pytest.raises(ValueError, match="released"):
        bytes(views[0])


@pytest.mark.slow
def test_walks_in_threads_do_not_disturb_each_other(twin: Kernel, scratch: str) -> None:
    tree = Directory({b"%d" % i: File(b"-" * (40 * i) + OLD + b"-" * 3000) for i in range(40)})
    sources = [join(scratch, str(number)) for number in range(8)]
    for source in sources:
        build(tree, source)
    table = twin.table(ENTRIES)

    def copy(source: str) -> tuple[TreeReport, bytes]:
        digest = hashlib.sha256()
        return copy_tree(source, source + "t", table, sink=digest.update), digest.digest()

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(copy, sources))
    assert all(result == results[0] for result in results)
    assert results[0][0].references == 40


class TimeoutReachedError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(("sinking", "jobs"), [(True, 1), (False, 1), (False, 2)])
@pytest.mark.parametrize("mapping", [True, False])
def test_a_signal_stops_a_long_walk_whose_memory_is_flat(
    twin: Kernel, tmp_path: Path, sinking: bool, jobs: int, mapping: bool
) -> None:
    for name in ("sparse", "twice"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 1 << 40)

    def stop(*_: object) -> NoReturn:
        raise TimeoutReachedError

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with mapped(mapping, reading.MAP_WINDOW), pytest.raises(TimeoutReachedError):
            read_tree(tmp_path, wanted=twin.table(WANTED), sink=len if sinking else None, jobs=jobs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert grown < 32 << 10


@contextmanager
def mounted(kind: str, options: str, directory: str, *, device: str = "none") -> Iterator[None]:
    if not ROOT:
        pytest.skip("only root can mount")
    command = ["mount", "-t", kind, "-o", options, device, directory]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip(f"{kind} cannot be mounted")
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("contents", [b"-" * 900_000, b"-" * 700_000 + OLD + b"-" * 200_000])
def test_a_full_file_system_is_reported_and_left_as_it_was(
    twin: Kernel, scratch: str, contents: bytes
) -> None:
    source, full = join(scratch, "source"), join(scratch, "full")
    build(Directory({b"a": File(OLD), b"b": File(contents)}), source)
    os.mkdir(full)
    with mounted("tmpfs", "size=512k", full):
        with pytest.raises(NoSpaceError, match=r"no room to write .*/full/target/b "):
            copied(source, join(full, "target"), twin)
        assert os.listdir(full) == []


def test_files_are_not_linked_on_overlayfs(twin: Kernel, scratch: str) -> None:
    names = ["lower", "upper", "work", "merged"]
    lower, upper, work, merged = (join(scratch, name) for name in names)
    for directory in (lower, upper, work, merged):
        os.mkdir(directory)
    build(Directory({b"a": File(b"a")}), join(lower, "source"))
    with mounted("overlay", f"lowerdir={lower},upperdir={upper},workdir={work}", merged):
        report = copied(join(merged, "source"), join(merged, "target"), twin)
    assert report.files.linked == 0
    assert os.listdir(upper) == ["target"]


# ---- deep trees ----------------------------------------------------------------------------


def build_deep(top: str, levels: int, name: bytes) -> None:
    """Directories in each other, a patched file at the top and a hard link of it at the bottom."""
    os.mkdir(top)
    write(join(top, "file"), OLD)
    directory = first = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=directory)
        below = os.open(name, os.O_RDONLY, dir_fd=directory)
        if directory != first:
            os.close(directory)
        directory = below
    os.link("file", "zzz", src_dir_fd=first, dst_dir_fd=directory)
    os.symlink(OLD, "link", dir_fd=directory)
    os.close(directory)
    os.close(first)


@pytest.mark.slow
@pytest.mark.parametrize("name", [b"d", b"d" * 200, b"a-" + OLD])
def test_trees_are_copied_however_deep_they_are(
    twin: Kernel, quick_scratch: str, name: bytes
) -> None:
    source, target = join(quick_scratch, "source"), join(quick_scratch, "target")
    build_deep(source, 1200, name)
    before = descriptors()
    report = copied(source, target, twin)
    assert set(descriptors()) <= set(before)
    assert report.directories == 1201
    assert report.files == FileCounts(patched=1, linked=1)
    assert os.stat(join(target, "file")).st_nlink == 2
    digests = hashlib.sha256(), hashlib.sha256()
    copy_tree(source, target + "2", twin.table(ENTRIES), sink=digests[0].update)
    read_tree(target, sink=digests[1].update)
    assert digests[0].digest() == digests[1].digest()
    for path in (source, target, target + "2"):
        remove_tree(path)
        assert not os.path.lexists(path)
    assert set(descriptors()) <= set(before)


def test_few_directories_are_open_at_once(twin: Kernel, quick_scratch: str) -> None:
    source, target = join(quick_scratch, "source"), join(quick_scratch, "target")
    for level in range(0, 60, 5):  # twelve branches, each 30 levels long
        branch = join(source, *["a"] * level, *["b"] * 30)
        os.makedirs(branch)
        write(join(branch, "file"), b"-" * 140_000)
    before, most = len(descriptors()), 0

    def sink(_: memoryview) -> None:
        nonlocal most
        most = max(most, len(descriptors()) - before)

    report = copy_tree(source, target, twin.table(ENTRIES), sink=sink)
    assert report.regular_files == 12
    assert 2 * OPEN_LEVELS <= most <= 2 * (OPEN_LEVELS + 2)


@pytest.mark.slow
def test_hard_links_survive_from_deep_to_deep(twin: Kernel, quick_scratch: str) -> None:
    source, target = join(quick_scratch, "source"), join(quick_scratch, "target")
    build_deep(source, 60, b"d" * 200)
    os.unlink(join(source, "file"))
    directory = os.open(source, os.O_RDONLY)
    for _ in range(60):
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.link("zzz", "aaa", src_dir_fd=directory, dst_dir_fd=directory)
    os.close(directory)
    assert copied(source, target, twin).files == FileCounts(patched=1, linked=1)


@pytest.mark.parametrize("moved", ["source", "target"])
def test_a_directory_that_is_moved_while_the_walk_is_in_it_is_noticed(
    twin: Kernel, quick_scratch: str, moved: str
) -> None:
    source, target = join(quick_scratch, "source"), join(quick_scratch, "target")
    build_deep(source, 40, b"d")
    write(join(source, *["d"] * 40, "large"), b"-" * 200_000)

    def sink(piece: memoryview) -> None:
        third = join(quick_scratch, moved, "d", "d", "d")
        if len(piece) >= 65536 and os.path.lexists(third):
            os.rename(third, join(quick_scratch, "elsewhere"))

    with pytest.raises(ChangedFileError) as caught:
        copy_tree(source, target, twin.table(ENTRIES), sink=sink)
    assert caught.value.fields["path"] == join(quick_scratch, moved, "d", "d", "d")
    assert not os.path.lexists(target)


def descriptors() -> Sequence[str]:
    return sorted(os.listdir("/proc/self/fd"))


@pytest.mark.slow
def test_errors_leave_no_descriptor_open(twin: Kernel, quick_scratch: str) -> None:
    source, target = join(quick_scratch, "source"), join(quick_scratch, "target")
    build_deep(source, 40, b"d")
    os.mkfifo(join(source, *["d"] * 40, "pipe"))
    before = descriptors()
    with pytest.raises(UnsupportedFileError):
        copied(source, target, twin)
    assert set(descriptors()) <= set(before)
    assert not os.path.lexists(target)


# ---- removal, durability -------------------------------------------------------------------


def test_removal_makes_directories_writable_and_leaves_files_as_they_are(scratch: str) -> None:
    top, kept = join(scratch, "top"), join(scratch, "kept")
    build(Directory({b"d": Directory({b"f": File(b"x", canonical=True)}), b"l": Link(b"..")}), top)
    os.link(join(top, "d", "f"), kept)
    os.chmod(join(top, "d"), 0)
    os.chmod(top, 0o555)
    before = os.stat(kept)
    remove_tree(top)
    after = os.stat(kept)
    assert not os.path.lexists(top)
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_mode, 1_000_000_000, 1)


def test_removal_of_a_symlink_leaves_what_it_leads_to(scratch: str) -> None:
    build(Directory({b"f": File()}), join(scratch, "directory"))
    os.symlink("directory", join(scratch, "link"))
    remove_tree(join(scratch, "link"))
    assert os.listdir(scratch) == ["directory"]
    assert os.listdir(join(scratch, "directory")) == ["f"]


def test_removal_of_what_is_not_there_is_no_error(scratch: str) -> None:
    remove_tree(join(scratch, "missing"))


def test_a_file_system_is_synchronised_and_a_missing_one_named(twin: Kernel, scratch: str) -> None:
    sync_file_system(scratch)
    with pytest.raises(TreeError, match=r"there is no .*/missing"):
        sync_file_system(join(scratch, "missing"))


# ---- how files are read --------------------------------------------------------------------


def map_from(demand: str, kernel_demand: str) -> subprocess.CompletedProcess[str]:
    program = "from graft.kernel.tree.mapping import *; print(MAP_FROM, THREADS_MAP_FROM)"
    environment = os.environ | {"GRAFT_IO": demand, "GRAFT_KERNEL": kernel_demand}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_mapping_is_for_large_files_if_nothing_else_is_demanded() -> None:
    assert map_from("", "reference").stdout == f"{reading.PAYS[0]} {NEVER}\n"
    assert map_from("pread", "reference").stdout == f"{NEVER} {NEVER}\n"
    if "native" in KERNELS:
        assert map_from("mmap", "native").stdout == "0 0\n"


@pytest.mark.parametrize("demand", ["MMAP", "read", "mmap,pread"])
def test_a_demand_for_an_unknown_way_to_read_is_an_error(demand: str) -> None:
    done = map_from(demand, "")
    assert done.returncode != 0
    assert f"KernelError: GRAFT_IO is '{demand}'" in done.stderr


def test_a_demand_for_mapping_by_the_reference_kernel_is_an_error() -> None:
    done = map_from("mmap", "reference")
    assert done.returncode != 0
    assert "KernelError: GRAFT_IO demands mmap" in done.stderr


# ---- against Nix ---------------------------------------------------------------------------


def nix_store(*arguments: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(
        ["nix-store", *arguments], input=stdin, capture_output=True, check=True
    ).stdout


ODD_TREES: dict[str, Node] = {
    "empty directory": Directory(),
    "empty file": File(),
    "executable": File(b"#!/bin/sh\n", executable=True),
    "eight bytes": File(b"12345678"),
    "dangling symlink": Link(b"/nix/store/" + OLD),
    "odd names": Directory(
        {
            b"\xff\xfe": File(b"1"),
            b"a\nb": File(b"2"),
            b" ": Directory({b"-": Link(b".")}),
            b"B": File(OLD),
            b"a": Directory({b"empty": Directory()}),
            b"a.b": File(b"4", executable=True),
            b"a-b": File(encoded(OLD, 2)),
            b"z" * 255: File(b"6"),
        }
    ),
    "large file": Directory({b"large": File(os.urandom(100_000) * 5)}),
}


@pytest.mark.nix
@pytest.mark.parametrize("name", ODD_TREES)
def test_dumps_are_those_of_nix(twin: Kernel, scratch: str, name: str) -> None:
    source = join(scratch, "source")
    build(ODD_TREES[name], source)
    assert outcome(twin, source, None, 4096)[2] == nix_store("--dump", source)


@pytest.mark.nix
def test_dumps_are_those_of_nix_for_executable_bits_of_others(twin: Kernel, scratch: str) -> None:
    source = join(scratch, "source")
    os.mkdir(source)
    for mode in (0o100, 0o700, 0o611, 0o455, 0o4755, 0o644):
        write(join(source, f"{mode:o}"), b"x")
        os.chmod(join(source, f"{mode:o}"), mode | 0o400)
    assert outcome(twin, source, None, 4096)[2] == nix_store("--dump", source)


@pytest.mark.nix
def test_rewriting_equals_dump_sed_restore_where_names_keep_their_order(
    twin: Kernel, scratch: str
) -> None:
    source, target, restored = (join(scratch, name) for name in ("source", "target", "restored"))
    old, new = b"0" * 31 + b"1", b"0" * 31 + b"2"
    store = b"/nix/store/%b-lib/bin" % old
    tree = Directory(
        {
            b"a": File(store * 3, executable=True),
            old + b"-d": Directory({b"l": Link(store), b"e": Directory()}),
            b"z": File(b"x" * 5000 + store),
        }
    )
    build(tree, source)
    dump = nix_store("--dump", source)
    script = b"s/%b/%b/g" % (old, new)
    edited = subprocess.run(["sed", script], input=dump, capture_output=True, check=True).stdout
    nix_store("--restore", restored, stdin=edited)
    copy_tree(source, target, twin.table([(old, new)]), links=False, window=64)
    assert nix_store("--dump", target) == edited
    theirs, ours = on_disk(restored), on_disk(target)
    assert {path: facts[-1] for path, facts in theirs.items()} == {
        path: facts[-1] for path, facts in ours.items()
    }

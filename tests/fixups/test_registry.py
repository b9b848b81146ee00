"""What is recognised, by which fix-up, and how far it is opened."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import UsageError
from graft.fixups import HEAD, Fixup, Limits, bzip2, deflated, registered, xz
from graft.fixups.api import BrokenFixupError, Inside, LeftAloneError
from graft.fixups.entry_points import may_be_installed
from graft.kernel import Table
from tests.fixups.samples import NEW, OLD, TABLE, grafted, tar, text, zipped


def test_the_order_is_fixed() -> None:
    names = [fixup.name for fixup in registered().fixups]
    assert names[0] == "oci-blob"
    first = names.index("erofs")
    assert names[first:] == [
        *("erofs", "gzip", "xz", "bzip2", "zstd", "lz4", "zip", "ar", "initrd", "tar"),
        "compound-file",
        *("sqlite", "gvdb", "cdb", "mo", "png", "ogg", "beam", "sbcl-core", "kernel-module"),
        *("fontconfig", "emacs-native", "ghc", "rust-metadata", "npm-lock"),
        "llvm-bitcode",
        *("pe", "macho", "elf", "pyc", "record", "cargo", "ocaml", "signature", "guards"),
        "checksums",
    ]


def test_what_is_switched_off_is_looked_into_and_left_alone() -> None:
    data = gzip.compress(text())
    registry = registered(("no-gzip",))
    new, [outcome] = registry.rewrite(data, b"a.gz", TABLE)
    assert new is data
    assert outcome.reason == "only --fixup gzip rewrites it"
    assert len(registry.references(data, b"a.gz", TABLE)[0]) == 1
    assert registry.rewrite(gzip.compress(b"x"), b"a.gz", TABLE)[1] == []


def test_only_what_differs_from_the_defaults_is_in_names() -> None:
    assert (
        registered(
            (
                "gzip",
                "no-initrd",
            )
        ).switches
        == ()
    )
    assert registered(
        (
            "no-gzip",
            "initrd",
        )
    ).switches == ("initrd 1", "no-gzip 1")


def test_what_is_not_built_in_is_in_names_whether_it_is_on_or_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, shouting="tests.fixups.test_registry:Shouting")
    where = "tests.fixups.test_registry:Shouting"
    assert registered().switches == (f"shouting 1 {where}",)
    assert registered(("no-shouting",)).switches == (f"no-shouting 1 {where}",)
    assert registered((), Limits(depth=3)).switches == ("limit-depth 3", f"shouting 1 {where}")


def test_a_switch_of_no_fixup_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no fix-up 'gzp'"):
        registered(("no-gzp",))


def test_a_bomb_is_reported_and_not_unpacked() -> None:
    bomb = gzip.compress(bytes(40 << 20))
    small = registered(limits=Limits(size=1 << 20))
    new, [outcome] = small.rewrite(bomb, b"a.gz", TABLE)
    assert new is bomb
    assert outcome.outcome == "left-alone"
    assert outcome.reason is not None
    assert "expands to more than 1048576 bytes" in outcome.reason
    assert small.references(bomb, b"a.gz", TABLE)[1] == [outcome]
    narrow = registered(limits=Limits(ratio=100, free=1 << 16))
    assert narrow.rewrite(bomb, b"a.gz", TABLE)[1][0].outcome == "left-alone"
    assert registered().rewrite(bomb, b"a.gz", TABLE)[1] == []


def test_all_members_together_share_one_limit() -> None:
    data = tar([(f"{n}.gz", gzip.compress(bytes(1 << 20))) for n in range(4)])
    outcomes = registered(limits=Limits(size=3 << 20)).references(data, b"a.tar", TABLE)[1]
    assert [outcome.container for outcome in outcomes] == [("tar:3.gz",)]


def test_a_zip_whose_members_lie_over_each_other_is_a_bomb() -> None:
    kernel = zipped([("a", bytes(1 << 20))])
    end = kernel.rindex(b"PK\5\6")
    start = kernel.index(b"PK\1\2")
    entry = kernel[start:end]
    record = bytearray(kernel[end:])
    record[8:10] = record[10:12] = (1000).to_bytes(2, "little")
    record[12:16] = (1000 * len(entry)).to_bytes(4, "little")
    data = kernel[:start] + entry * 1000 + bytes(record)
    registry = registered(limits=Limits(size=1 << 24))
    [outcome] = registry.references(data, b"a.zip", TABLE)[1]
    assert outcome.outcome == "left-alone"


def test_what_is_nested_too_deep_is_reported() -> None:
    data = text()
    for _ in range(5):
        data = gzip.compress(data)
    new, outcomes = registered(limits=Limits(depth=4)).rewrite(data, b"a.gz", TABLE)
    assert new is data
    [outcome] = outcomes
    assert outcome.container == ("gzip",) * 4
    assert outcome.reason == "it is nested deeper than 4 containers"


def test_a_damaged_file_is_reported_and_what_stands_in_it_is_found() -> None:
    data = bytearray(gzip.compress(text(), 0))
    data[-8] ^= 1
    places, [outcome] = registered().references(bytes(data), b"a.gz", TABLE)
    assert [place.container for place in places] == [("gzip",)] or places[-1].container == ()
    assert outcome.reason == "its checksum does not match its contents"
    new, _ = registered().rewrite(bytes(data), b"a.gz", TABLE)
    assert new == data


def test_a_zlib_that_compresses_otherwise_rewrites_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress(text(), 9)
    monkeypatch.setitem(deflated._DIGESTS, (9, 9), "another")
    monkeypatch.setitem(deflated._DIGESTS, (9, 8), "another")
    deflated._is_known.cache_clear()
    try:
        new, [outcome] = registered().rewrite(data, b"a.gz", TABLE)
    finally:
        deflated._is_known.cache_clear()
    assert new is data
    assert outcome.reason is not None
    assert outcome.reason.startswith(f"zlib {zlib.ZLIB_RUNTIME_VERSION} compresses otherwise")
    assert outcome.fatal


@pytest.mark.parametrize(
    ("module", "data", "library"),
    [(bzip2, bz2.compress(text()), "libbz2"), (xz, lzma.compress(text()), "liblzma")],
)
def test_other_libraries_that_compress_otherwise_are_named(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, data: bytes, library: str
) -> None:
    monkeypatch.setattr(module, "_is_known", lambda _: False)
    new, [outcome] = registered().rewrite(data, b"a", TABLE)
    assert new is data
    assert outcome.reason == f"{library} compresses otherwise than the one graft relies on"
    assert outcome.fatal


@pytest.mark.parametrize("switches", [("no-bzip2",), ("no-tar",)])
def test_a_library_does_no_harm_to_what_is_left_alone_anyway(
    monkeypatch: pytest.MonkeyPatch, switches: tuple[str, ...]
) -> None:
    monkeypatch.setattr(bzip2, "_is_known", lambda _: False)
    data = tar([("a.bz2", bz2.compress(text())), ("b", OLD)])
    new, outcomes = registered(switches).rewrite(data, b"a.tar", TABLE)
    assert (new is data) == ("no-tar" in switches)
    assert outcomes[0].container == ("tar:a.bz2",)
    assert not any(outcome.fatal for outcome in outcomes)


def test_what_is_left_alone_for_its_own_sake_is_not_fatal() -> None:
    _, [outcome] = registered().rewrite(b"hsqs", b"a", TABLE)
    assert not outcome.fatal


def test_a_reference_where_no_fixup_looks_keeps_a_container_as_it_was() -> None:
    field = b"\x99\x99" + len(OLD).to_bytes(2, "little") + OLD
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        member = zipfile.ZipInfo("a")
        member.extra = field
        archive.writestr(member, text())
    data = stream.getvalue()
    new, [outcome] = registered().rewrite(data, b"a.zip", TABLE)
    assert new is data
    assert outcome.reason == "a reference stands in a part of it that is not known"
    alone = zipped([("b", b"nothing")])
    commented = alone[:-2] + len(OLD).to_bytes(2, "little") + OLD
    assert registered().rewrite(commented, b"a.zip", TABLE)[0] == grafted(commented)


def test_a_reference_that_another_graft_replaces_again_is_no_unknown_part() -> None:
    third = b"1" * 32 + OLD[32:]
    chain = Table([(OLD, NEW), (NEW, third)])
    data = zipped([("a", OLD)], method=zipfile.ZIP_STORED)
    new, [outcome] = registered().rewrite(data, b"a.zip", chain)
    assert outcome.outcome == "rewritten"
    assert new == zipped([("a", NEW)], method=zipfile.ZIP_STORED)


class Shouting(Fixup):
    name = "shouting"
    suffixes = (b".shout",)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        assert name.endswith(self.suffixes)
        if data.startswith(b"!"):
            raise ZeroDivisionError("an accident")
        if data.startswith(b"*"):
            raise AttributeError("a defect")
        if data.startswith(b"?"):
            raise LeftAloneError("it is a question")
        return inside.plain(data)


@pytest.fixture(autouse=True)
def known_anew() -> Iterator[None]:
    registered.cache_clear()
    yield
    registered.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, directory: Path, **values: str) -> None:
    """Installs a package with entry points."""
    metadata = directory / "own-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1\n")
    lines = [f"{name} = {value}" for name, value in values.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[graft.fixups]", *lines, ""]))
    monkeypatch.syspath_prepend(directory)


def test_users_add_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, shouting="tests.fixups.test_registry:Shouting")
    registry = registered()
    assert registry.fixups[0].name == "shouting"
    assert b".shout" in registry.marks.suffixes
    new, [outcome] = registry.rewrite(text(), b"a.shout", TABLE)
    assert new == grafted(text())
    assert outcome.fixup == "shouting"
    assert registered(("no-shouting",)).rewrite(text(), b"a.shout", TABLE)[0] == text()
    assert registry.rewrite(b"!" + OLD, b"a.shout", TABLE)[1][0].reason == (
        "it cannot be read: ZeroDivisionError: an accident"
    )
    assert registry.rewrite(b"?" + OLD, b"a.shout", TABLE)[1][0].reason == "it is a question"
    with pytest.raises(BrokenFixupError, match="AttributeError: a defect"):
        registry.rewrite(b"*" + OLD, b"a.shout", TABLE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("tests.fixups.test_registry:nothing", "cannot be loaded"),
        ("tests.fixups.test_registry:text", "is no fix-up"),
        ("graft.fixups.gzip:Gzip", "there are two fix-ups of the name 'gzip'"),
    ],
)
def test_a_fixup_that_is_none_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, message: str
) -> None:
    install(monkeypatch, tmp_path, own=value)
    with pytest.raises(UsageError, match=message):
        registered()


@pytest.mark.parametrize(
    ("name", "data", "fixup"),
    [
        (b"root.squashfs", b"hsqs" + OLD, "squashfs"),
        (b"main_rkt.zo", b"#~\x038.10" + OLD, "racket"),
        (b"base.rdb", OLD, "r-database"),
        (b"driver.ko", b"\x7fELF" + OLD + b"~Module signature appended~\n", "kernel-module"),
        (b"man.db", b"\xce\x9a\x57\x13" + OLD, "gdbm"),
        (b"data.mdb", bytes(16) + b"\xde\xc0\xef\xbe" + OLD, "lmdb"),
    ],
)
def test_what_would_break_is_left_alone_and_seen(name: bytes, data: bytes, fixup: str) -> None:
    new, [outcome] = registered().rewrite(data, name, TABLE)
    assert new is data
    assert (outcome.fixup, outcome.outcome) == (fixup, "left-alone")
    assert len(registered().references(data, name, TABLE)[0]) == 1


@pytest.mark.parametrize(
    ("name", "head"),
    [
        (b"compile.dep", b"a.o: a.c"),
        (b"services.rdb", b'<?xml version="1.0"?><components/>'),
        (b"types.rdb", b"UNOIDL\xff\0" + bytes(8)),
        (b"random", bytes(1048) + b"\xff" * 32 + b"\x53\xef"),
        (b"sound.aiff", b"FORM\0\0\0\0BEAM"),
        (b"BZh.txt", b"BZh is how bzip2 begins"),
        (b"RECORD", b"of everything"),
        (b"a.pyc", b"no magic number"),
    ],
)
def test_what_only_looks_alike_is_not_recognised(name: bytes, head: bytes) -> None:
    assert registered().recognise(head, name) is None


_HEADS = st.sampled_from([magic for f in registered().fixups for magic in f.magics])
_NAMES = st.sampled_from(
    sorted({name for f in registered().fixups for name in (*f.names, *f.suffixes)})
)


def test_a_file_that_ends_behind_any_magic_is_recognised_or_not_and_nothing_else() -> None:
    for fixup in registered().fixups:
        for at, characters in fixup.magics:
            whole = bytes(at) + characters
            for size in range(len(whole) + 60):
                registered().recognise((whole + bytes(60))[:size], b".a")


@given(
    head=st.binary(max_size=40),
    magic=_HEADS,
    name=st.one_of(_NAMES, st.binary(max_size=8)),
    marked=st.booleans(),
)
def test_a_file_is_its_first_fixups_that_recognises_it(
    head: bytes, magic: tuple[int, bytes], name: bytes, marked: bool
) -> None:
    at, characters = magic
    data = bytes(at) + characters + head if marked else head
    fixups = registered().fixups
    first = next((fixup for fixup in fixups if fixup.recognises(data[:HEAD], name)), None)
    assert registered().recognise(data, name) is first


def test_an_image_of_ext4_is_recognised() -> None:
    head = bytes(1048) + b"\2" + bytes(31) + b"\x53\xef" + bytes(18) + b"\1" + bytes(100)
    fixup = registered().recognise(head, b"image")
    assert fixup is not None
    assert fixup.name == "ext4"


def test_packages_are_read_only_where_one_may_have_a_fixup(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "missing")])
    monkeypatch.setattr(sys, "meta_path", [PathFinder])
    # The backport of importlib.metadata, which other packages import, takes this away.
    monkeypatch.setattr(PathFinder, "find_distributions", lambda *_: [], raising=False)
    (tmp_path / "other.dist-info").mkdir()
    (tmp_path / "old.egg-info").write_text("Name: old\n")
    assert not may_be_installed()
    (tmp_path / "other.dist-info" / "entry_points.txt").write_text("[graft.fixups]\n")
    assert may_be_installed()


@pytest.mark.parametrize("name", ["packages.zip", "own.egg"])
def test_an_archive_of_packages_may_have_a_fixup(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(sys, "path", [str(tmp_path / name)])
    assert may_be_installed()


def test_a_finder_of_packages_may_have_a_fixup(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_distributions(self) -> None: ...

    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [PathFinder, Finder()])
    assert may_be_installed()

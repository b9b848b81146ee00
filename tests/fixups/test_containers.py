"""Containers of every kind, in each other."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lz4.block import decompress

from graft.fixups import registered
from tests.fixups.samples import (
    ARCHIVES,
    BACK,
    COMPRESSORS,
    NEW,
    OLD,
    TABLE,
    ar,
    cpio,
    grafted,
    lz4_legacy,
    tar,
    text,
    unpacked,
    zipped,
)

EVERYTHING = registered(("initrd",))


def reached(tree: object) -> object:
    """What is unpacked, as it is to be after the graft."""
    if isinstance(tree, bytes):
        return grafted(tree)
    if isinstance(tree, str):
        return tree.replace(OLD.decode(), NEW.decode())
    assert isinstance(tree, list | tuple)
    return type(tree)(reached(item) for item in tree)


def occurrences(tree: object) -> int:
    if isinstance(tree, bytes):
        return tree.count(OLD)
    if isinstance(tree, str):
        return tree.count(OLD.decode())
    assert isinstance(tree, list | tuple)
    return sum(occurrences(item) for item in tree)


pieces = st.one_of(
    st.binary(max_size=40), st.just(OLD), st.sampled_from([b"a" * 300, b"x = 1\n" * 50])
)
leaves = (
    st.lists(pieces, max_size=6)
    .map(b"".join)
    .filter(lambda data: EVERYTHING.recognise(data, b"") is None)
)


@st.composite
def archived(draw: st.DrawFn, inner: st.SearchStrategy[bytes]) -> bytes:
    _, make = ARCHIVES[draw(st.sampled_from(sorted(ARCHIVES)))]
    members = draw(st.lists(inner, min_size=1, max_size=3))
    return make([(f"m{index}", data) for index, data in enumerate(members)])


def compressed(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    makers = st.sampled_from([make for _, make in COMPRESSORS.values()])
    return st.builds(lambda make, data: make(data), makers, inner)


class Sample:
    """Bytes that are not shown in full."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"Sample({self.data[:200]!r}... of {len(self.data)} bytes)"


containers = st.recursive(
    leaves, lambda inner: st.one_of(compressed(inner), archived(inner)), max_leaves=4
).map(Sample)


@given(containers)
def test_what_is_inside_is_rewritten_at_any_depth_and_nothing_else_changes(sample: Sample) -> None:
    data = sample.data
    before = unpacked(data)
    new, outcomes = EVERYTHING.rewrite(data, b"file", TABLE)
    assert unpacked(new) == reached(before)
    assert all(outcome.outcome == "rewritten" for outcome in outcomes)
    if not occurrences(before):
        assert new is data


@given(containers)
def test_every_reference_inside_is_found_with_its_place(sample: Sample) -> None:
    data = sample.data
    places, outcomes = EVERYTHING.references(data, b"file", TABLE)
    assert len(places) == occurrences(unpacked(data))
    assert outcomes == []
    new, _ = EVERYTHING.rewrite(data, b"file", TABLE)
    after, _ = EVERYTHING.references(new, b"file", BACK)
    assert [(p.container, p.offset) for p in after] == [(p.container, p.offset) for p in places]
    assert EVERYTHING.references(new, b"file", TABLE)[0] == []


@given(containers, st.data())
def test_damaged_and_cut_files_are_left_alone_or_rewritten_but_raise_nothing(
    sample: Sample, draw: st.DataObject
) -> None:
    data = sample.data
    cut = data[: draw.draw(st.integers(0, len(data)), "cut")]
    EVERYTHING.references(cut, b"file", TABLE)
    EVERYTHING.rewrite(cut, b"file", TABLE)
    if data:
        damaged = bytearray(data)
        damaged[draw.draw(st.integers(0, len(data) - 1), "at")] ^= draw.draw(st.integers(1, 255))
        places, _ = EVERYTHING.references(bytes(damaged), b"file", TABLE)
        new, _ = EVERYTHING.rewrite(bytes(damaged), b"file", TABLE)
        if not places:
            assert new == damaged


@pytest.mark.parametrize("name", sorted(COMPRESSORS))
def test_a_compressed_file_reports_its_place(name: str) -> None:
    suffix, make = COMPRESSORS[name]
    data = make(text())
    [place], _ = EVERYTHING.references(data, b"a" + suffix.encode(), TABLE)
    assert place.container == (name,)
    assert place.offset == text().index(OLD)


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_the_bytes_are_those_of_a_rebuild(name: str) -> None:
    _, make = COMPRESSORS[name]
    new, _ = EVERYTHING.rewrite(make(text()), b"a", TABLE)
    assert new == make(grafted(text()))


@pytest.mark.parametrize("level", range(1, 10))
def test_gzip_finds_the_level_again(level: int) -> None:
    data = gzip.compress(text(3000), level, mtime=7)
    new, _ = EVERYTHING.rewrite(data, b"a.gz", TABLE)
    assert new == gzip.compress(grafted(text(3000)), level, mtime=7)


@pytest.mark.parametrize("preset", [0, 1, 3, 5, 6, 6 | lzma.PRESET_EXTREME])
@pytest.mark.parametrize("check", [lzma.CHECK_NONE, lzma.CHECK_CRC64, lzma.CHECK_SHA256])
def test_xz_finds_preset_and_check_again(preset: int, check: int) -> None:
    data = lzma.compress(text(300), check=check, preset=preset)
    new, _ = EVERYTHING.rewrite(data, b"a.xz", TABLE)
    assert new == lzma.compress(grafted(text(300)), check=check, preset=preset)


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd", "lz4"])
def test_of_several_streams_those_without_references_keep_their_bytes(name: str) -> None:
    _, make = COMPRESSORS[name]
    plain = make(b"nothing " * 100)
    new, _ = EVERYTHING.rewrite(plain + make(text()) + plain, b"a", TABLE)
    assert new.startswith(plain)
    assert new.endswith(plain)
    assert unpacked(new) == b"nothing " * 100 + grafted(text()) + b"nothing " * 100


def test_a_reference_across_two_streams_is_rewritten() -> None:
    whole = text()
    at = whole.index(OLD) + 16
    data = gzip.compress(whole[:at]) + gzip.compress(whole[at:])
    new, _ = EVERYTHING.rewrite(data, b"a.gz", TABLE)
    assert gzip.decompress(new) == grafted(whole)


def test_a_reference_across_two_padded_streams_of_xz_is_rewritten_and_the_padding_stays() -> None:
    whole = text()
    at = whole.index(OLD) + 16
    data = lzma.compress(whole[:at]) + bytes(8) + lzma.compress(whole[at:]) + bytes(4)
    new, _ = EVERYTHING.rewrite(data, b"a.xz", TABLE)
    first = lzma.compress(grafted(whole)[:at])
    assert new == first + bytes(8) + lzma.compress(grafted(whole)[at:]) + bytes(4)


def test_the_header_of_a_gzip_file_stays() -> None:
    header = b"\x1f\x8b\x08\x18\x01\x02\x03\x04\x02\x03man.1\0a comment\0"
    data = header + gzip.compress(text())[10:]
    new, _ = EVERYTHING.rewrite(data, b"man.1.gz", TABLE)
    assert new.startswith(header)
    assert gzip.decompress(new) == grafted(text())


def test_a_member_without_references_keeps_its_bytes() -> None:
    odd = gzip.compress(b"nothing " * 1000, 1)[:-8][10:]
    data = zipped([("a", b"nothing " * 1000), ("b", text())])
    new, _ = EVERYTHING.rewrite(data, b"a.zip", TABLE)
    start = data.index(b"a", 30) + 1
    assert new[: start + 30] == data[: start + 30]
    assert odd not in new


def test_the_legacy_frames_of_lz4_are_rewritten() -> None:
    for contents in (text(), OLD, OLD[:32], text() * 7000):
        data = lz4_legacy(contents[: 8 << 20])
        new, outcomes = EVERYTHING.rewrite(data, b"a.lz4", TABLE)
        assert [outcome.outcome for outcome in outcomes] == ["rewritten"]
        if len(contents) < 1 << 20:
            block = new[8 : 8 + int.from_bytes(new[4:8], "little")]
            expected = bytes(TABLE.rewrite(contents)[0])
            assert decompress(block, uncompressed_size=8 << 20) == expected


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_in_a_tar_change_with_the_sums_of_their_headers(form: int) -> None:
    name = f"nix/store/{OLD.decode()}/" + "/".join(["directory"] * 12)
    data = tar([(name, text()), ("b", b"")], form=form)
    new, _ = EVERYTHING.rewrite(data, b"a.tar", TABLE)
    assert unpacked(new) == reached(unpacked(data))
    assert len(new) == len(data)


def test_members_that_grow_move_what_follows_them_in_a_tar() -> None:
    inner = COMPRESSORS["zstd"][1](text(2000))
    data = tar([("a.zst", inner), ("b", b"behind")])
    new, _ = EVERYTHING.rewrite(data, b"a.tar", TABLE)
    assert len(new) > len(data)
    assert len(new) % 10240 == 0
    assert unpacked(new) == reached(unpacked(data))


def test_an_initrd_is_rewritten_only_on_demand() -> None:
    data = cpio([("init", text()), ("bin/sh@", b"/nix/store/" + OLD)])
    new, [outcome] = registered().rewrite(data, b"initrd", TABLE)
    assert new is data
    assert outcome.outcome == "left-alone"
    assert outcome.reason == "only --fixup initrd rewrites it"
    assert len(registered().references(data, b"initrd", TABLE)[0]) == 2
    new, [outcome] = EVERYTHING.rewrite(data, b"initrd", TABLE)
    assert new == grafted(data)


@pytest.mark.parametrize("name", sorted(COMPRESSORS))
def test_an_initrd_behind_microcode_keeps_its_alignment(name: str) -> None:
    microcode = cpio([("kernel/x86/microcode/GenuineIntel.bin", bytes(range(256)))])
    microcode += bytes(-len(microcode) % 512)
    data = microcode + COMPRESSORS[name][1](cpio([("init", text())], sums=True))
    new, _ = EVERYTHING.rewrite(data, b"initrd", TABLE)
    assert new.startswith(microcode)
    assert unpacked(new) == reached(unpacked(data))
    twice = COMPRESSORS["gzip"][1](cpio([("init", text())])) + bytes(4)
    twice += bytes(-len(twice) % 4) + cpio([("more", text())])
    new, _ = EVERYTHING.rewrite(twice, b"initrd", TABLE)
    assert new.endswith(grafted(cpio([("more", text())])))
    assert (len(new) - len(cpio([("more", text())]))) % 4 == 0


def test_a_signed_jar_is_left_alone_only_if_something_would_change() -> None:
    signed = [("META-INF/MANIFEST.MF", b"x"), ("META-INF/KEY.SF", b"y")]
    data = zipped([*signed, ("a", text())])
    new, [outcome] = EVERYTHING.rewrite(data, b"a.jar", TABLE)
    assert new is data
    assert outcome.reason == "it is a signed jar"
    assert EVERYTHING.rewrite(zipped(signed), b"a.jar", TABLE)[1] == []


def test_a_left_alone_member_leaves_the_others_rewritten() -> None:
    jar = zipped([("META-INF/KEY.SF", b"y"), ("a", text())])
    data = tar([("a.jar", jar), ("b", text())])
    new, outcomes = EVERYTHING.rewrite(data, b"a.tar", TABLE)
    assert [(o.container, o.fixup, o.outcome) for o in outcomes] == [
        (("tar:a.jar",), "zip", "left-alone"),
        ((), "tar", "rewritten"),
    ]
    assert jar in new
    assert grafted(text()) in new


def test_stored_members_of_an_aligned_zip_stay_aligned() -> None:
    files = [(f"lib{n}.so", bytes([65 + n]) * 100 + OLD * (n % 2)) for n in range(5)]
    names = [("z.gz", COMPRESSORS["zstd"][1](text())), *files]
    plain = zipped(names, method=zipfile.ZIP_STORED)
    made, moved, at = bytearray(), [], 0
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        infos = archive.infolist()
        start = archive.start_dir
    for info, following in zip(infos, [*[i.header_offset for i in infos[1:]], start], strict=True):
        local = bytearray(plain[info.header_offset : following])
        missing = -(len(made) + 30 + len(info.filename)) % 4
        local[28:30] = pack("<H", missing)
        local[30 + len(info.filename) : 30 + len(info.filename)] = bytes(missing)
        moved.append(len(made))
        made += local
    directory = bytearray(plain[start:])
    for offset in moved:
        directory[at + 42 : at + 46] = pack("<I", offset)
        at += 46 + int.from_bytes(directory[at + 28 : at + 30], "little")
    directory[at + 16 : at + 20] = pack("<I", len(made))
    data = bytes(made + directory)
    new, _ = EVERYTHING.rewrite(data, b"a.apk", TABLE)
    assert unpacked(new) == reached(unpacked(data))
    with zipfile.ZipFile(io.BytesIO(new)) as archive:
        for info in archive.infolist():
            extra = int.from_bytes(new[info.header_offset + 28 :][:2], "little")
            assert (info.header_offset + 30 + len(info.filename) + extra) % 4 == 0


def test_an_ar_archive_with_symbols_is_left_alone_if_a_member_changes_its_length() -> None:
    inner = COMPRESSORS["zstd"][1](text())
    new, _ = EVERYTHING.rewrite(ar([("a.zst/", inner)]), b"a.deb", TABLE)
    assert isinstance(members := unpacked(new), list)
    assert [contents for _, contents in members] == [grafted(text())]
    data = ar([("/", b"\0\0\0\0"), ("a.zst/", inner)])
    new, outcomes = EVERYTHING.rewrite(data, b"a.a", TABLE)
    assert new is data
    assert outcomes[-1].reason == "a member changes its length, and there is a symbol table"


@pytest.mark.parametrize("make", [tar, zipped, cpio], ids=["tar", "zip", "cpio"])
def test_an_archive_with_files_of_a_replaced_path_is_left_alone(
    make: Callable[[list[tuple[str, bytes]]], bytes],
) -> None:
    replaced = replace(EVERYTHING, replaced=frozenset([OLD[:32]]))
    refers = make([("etc/config", OLD), ("etc/other", b"nothing")])
    assert replaced.rewrite(refers, b"a", TABLE)[0] == EVERYTHING.rewrite(refers, b"a", TABLE)[0]
    holds = make([("etc/config", OLD), (f"nix/store/{OLD.decode()}/lib/libh.so", b"old code")])
    for data in (holds, gzip.compress(holds, mtime=0)):
        new, outcomes = replaced.rewrite(data, b"a", TABLE)
        assert new == data
        assert "it holds files of a replaced path" in str(outcomes[0].reason)
        assert replaced.references(data, b"a", TABLE)[0]

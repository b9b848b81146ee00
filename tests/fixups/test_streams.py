"""Streams at any offset: what is in them is found, whatever the file around them is."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import random
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.fixups import FixupOutcome, Look, registered
from graft.fixups.allowance import Allowance
from graft.fixups.api import Limits
from graft.fixups.streams import embedded_streams
from graft.formats.store_path import StorePath
from graft.kernel import Table
from graft.kernel.place import Place, Site
from graft.kernel.sieve import EVERYTHING
from graft.objects.reading import search_object
from graft.objects.search import DeepSearch
from graft.store.objects import TreeObject
from tests.kernel.test_streams import PACKERS, by_every_kernel

OLD = b"q1w2r3y4p5a6s7d8f9g0h1j2k3l4z5x6"
TEXT = b"exec /nix/store/" + OLD + b"-lib-1.0/bin/tool\n" * 3
TABLE = Table([(OLD, None)])
OPENED = sorted(PACKERS.keys() - {"cpio", "ar"})


def found_in(data: bytes) -> list[tuple[str, ...]]:
    places, _ = registered().references(data, b"unknown", TABLE)
    return [place.container for place in places]


@pytest.mark.parametrize("packer", OPENED)
def test_what_is_packed_behind_other_bytes_is_found(packer: str) -> None:
    kind, pack = PACKERS[packer]
    data = b"\x90" * 1234 + pack(TEXT) + b"the end"
    # lz4 leaves what stands once as it is, and so it is found there as well.
    (container,) = filter(None, found_in(data))
    assert container[0].startswith(f"{kind}@1234")


@given(
    st.lists(st.sampled_from(OPENED), min_size=1, max_size=3),
    st.lists(st.binary(max_size=300), min_size=4, max_size=4),
)
def test_streams_in_streams_are_found(packers: list[str], around: list[bytes]) -> None:
    data = TEXT
    for packer, before in zip(packers, around, strict=False):
        data = before + PACKERS[packer][1](data) + around[3]
    assert found_in(b"#" + data)


@pytest.mark.parametrize("packer", ["gzip", "xz", "bzip2", "zstd", "lz4"])
def test_a_hash_part_that_two_streams_share_is_found(packer: str) -> None:
    pack = PACKERS[packer][1]
    halves = TEXT[:40].rjust(80, b"#"), TEXT[40:]
    padding = bytes(8) if packer == "xz" else b""
    data = b"program " + padding.join(pack(half) for half in halves) + b"the end"
    (container,) = {place for place in found_in(data) if place}
    assert container == (f"{PACKERS[packer][0]}@8",)


SPELL: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "base64": ("base64", base64.b64encode),
    "base64 in lines": ("base64", base64.encodebytes),
    "base64 in a string": ("base64", lambda data: base64.encodebytes(data).replace(b"\n", b"\\n")),
    "base64 for URLs": ("base64", base64.urlsafe_b64encode),
    "hex": ("hex", lambda data: data.hex().encode()),
    "hex in capitals": ("hex", lambda data: data.hex(" ").upper().encode()),
    "a C array": ("hex", lambda data: b", ".join(b"0x%02x" % byte for byte in data)),
    "C escapes": ("hex", lambda data: b"".join(b"\\x%02x" % byte for byte in data)),
    "JSON escapes": ("hex", lambda data: b"".join(b"\\u%04x" % byte for byte in data)),
    "a JSON array": ("decimal", lambda data: b",".join(b"%d" % byte for byte in data)),
}
SPELLED_STREAMS = [
    packer for packer in OPENED if packer != "lz4" and not packer.startswith("zlib-window")
]


@pytest.mark.parametrize("spell", SPELL)
@pytest.mark.parametrize("packer", SPELLED_STREAMS)
def test_a_stream_that_a_text_spells_is_found(packer: str, spell: str) -> None:
    kind, pack = PACKERS[packer]
    form, spelled = SPELL[spell]
    data = b'data = "' + spelled(pack(TEXT)) + b'"; // the end\n'
    by_every_kernel(data)
    # What is packed as it is, is found in what is spelled as well.
    assert any(
        each[0].startswith(f"{form}@") and each[1].startswith(f"{kind}@0")
        for each in found_in(data)
        if len(each) > 1
    )


@given(st.sampled_from(SPELLED_STREAMS), st.sampled_from(sorted(SPELL)), st.data())
def test_the_kernels_agree_on_spelled_streams(packer: str, spell: str, data: st.DataObject) -> None:
    text = SPELL[spell][1](PACKERS[packer][1](TEXT))
    cut = data.draw(st.integers(0, len(text)))
    at = data.draw(st.integers(0, len(text)))
    damaged = (
        text[:at] + data.draw(st.sampled_from([b"", b"u", b"\\", b"0", b"=", b"999"])) + text[at:]
    )
    by_every_kernel(damaged[:cut], final=data.draw(st.booleans()))


def test_what_nothing_is_known_of_is_told() -> None:
    image = b"hsqs" + bytes(8) + (1 << 17).to_bytes(4, "little") + bytes(4) + b"\1\0"
    image += (17).to_bytes(2, "little") + bytes(4) + b"\4\0\0\0" + bytes(200)
    _, outcomes = registered().references(b"program" + image, b"app", TABLE)
    assert [(each.fixup, each.outcome) for each in outcomes] == [("squashfs", "left-alone")]
    assert outcomes[0].reason == "a squashfs image begins at 7, and cannot be opened"


def test_an_encrypted_member_is_told() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("secret", TEXT)
    data = bytearray(file.getvalue())
    data[6] |= 1
    _, outcomes = registered().references(b"stub" + bytes(data), b"app", TABLE)
    assert "cannot be opened" in (outcomes[0].reason or "")


def test_a_stream_that_breaks_off_is_searched_as_far_as_it_goes_and_told() -> None:
    packed = PACKERS["gzip"][1](TEXT + random.Random(1).randbytes(50_000))
    places, outcomes = registered().references(b"stub" + packed[:40_000], b"app", TABLE)
    assert [place.container for place in places if place.container] == [("gzip@4",)]
    assert "is damaged" in (outcomes[0].reason or "")


def test_a_bomb_is_told_and_not_unpacked() -> None:
    bomb = zlib.compress(bytes(64 << 20))
    limits = Limits(size=1 << 20, free=1 << 20)
    (stream,) = embedded_streams(b"stub" + bomb, Allowance(limits))
    assert stream.contents == b""
    assert "expands to more than" in (stream.reason or "")


def test_many_beginnings_cost_no_more_than_the_limits() -> None:
    packed = zlib.compress(bytes(1 << 20))
    limits = Limits(size=8 << 20, free=1 << 20)
    streams = list(embedded_streams(packed * 100, Allowance(limits)))
    assert sum(len(stream.contents) for stream in streams) <= limits.size


@given(st.binary(max_size=3000))
def test_whatever_the_bytes_are_nothing_is_raised(data: bytes) -> None:
    heads = b"".join(pack(TEXT)[:40] for _, pack in PACKERS.values())
    found_in(data + heads + data)


def rewritten(data: bytes, name: str = "unknown") -> tuple[bytes, list[FixupOutcome]]:
    new = b"n" * 32
    return registered().rewrite(data, name.encode(), Table([(OLD + b"-a", new + b"-a")]))


@pytest.mark.parametrize("packer", ["zlib-0", "gzip-0", "stored zip"])
def test_a_reference_within_a_stream_that_has_sums_is_left_alone(packer: str) -> None:
    text = b"exec /nix/store/" + OLD + b"-a/bin/tool\n"
    packed = {
        "zlib-0": lambda: zlib.compress(text, 0),
        "gzip-0": lambda: gzip.compress(text, 0, mtime=0),
        "stored zip": lambda: stored_zip(text),
    }[packer]()
    data = b"\0program" + packed
    new, outcomes = rewritten(data)
    assert new == data
    (outcome,) = outcomes
    assert outcome.outcome == "left-alone"
    assert "within a" in str(outcome.reason)


def test_a_reference_beside_a_stream_changes() -> None:
    data = b"\0" + OLD + b"-a" + zlib.compress(TEXT.replace(OLD, b"")) + OLD + b"-a\0"
    new, outcomes = rewritten(data)
    assert new == data.replace(OLD, b"n" * 32)
    assert outcomes == []


def stored_zip(text: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", text)
    return file.getvalue()


def test_gzip_members_that_tell_their_length_are_left_alone() -> None:
    text = b"exec /nix/store/" + OLD + b"-a/bin/tool\n"
    packed = gzip.compress(text, mtime=0)
    # RFC 1952, 2.3.1.1: a subfield of the extra field, as BGZF has it.
    data = packed[:3] + b"\4" + packed[4:10] + b"\6\0BC\2\0\x40\0" + packed[10:]
    new, (outcome,) = rewritten(data, "text.gz")
    assert new == data
    assert outcome.outcome == "left-alone"


def _php_archive(files: list[tuple[bytes, bytes, int]]) -> bytes:
    """A program whose archive has the files: name, packed bytes, flags."""

    def counted(text: bytes) -> bytes:
        return len(text).to_bytes(4, "little") + text

    entries = b"".join(
        counted(name)
        + bytes(8)
        + len(packed).to_bytes(4, "little")
        + bytes(4)
        # The flags have the rights in their low bits.
        + (flags | 0o644).to_bytes(4, "little")
        + counted(b"")
        for name, packed, flags in files
    )
    manifest = len(files).to_bytes(4, "little") + b"\x11\x10" + bytes(4)
    manifest += counted(b"alias") + counted(b"") + entries
    stub = b"<?php echo 1; __HALT_COMPILER(); ?>\r\n"
    return stub + counted(manifest) + b"".join(packed for _, packed, _ in files)


def test_the_packed_files_of_a_php_archive_are_opened() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = packer.compress(TEXT) + packer.flush()
    data = _php_archive(
        [(b"a", b"plain", 0), (b"b", deflated, 0x1000), (b"c", bz2.compress(TEXT), 0x2000)]
    )
    assert set(found_in(data)) == {("phar@16:b",), ("phar@16:c",)}
    _, outcomes = registered().references(data, b"unknown", TABLE)
    assert outcomes == []
    _, outcomes = registered().references(data[:-9], b"unknown", TABLE)
    assert "a file is cut" in str(outcomes)


def test_a_snappy_stream_is_opened_and_a_constant_of_its_name_is_none() -> None:
    block = bytes([len(TEXT) & 0x7F | 0x80, len(TEXT) >> 7, 60 << 2, len(TEXT) - 1]) + TEXT
    chunk = b"\0" + (len(block) + 4).to_bytes(3, "little") + bytes(4) + block
    assert ("snappy@5",) in found_in(b"rust\0\xff\6\0\0sNaPpY" + chunk + bytes(40))
    for data in (b"\0rust\0\xff\6\0\0sNaPpY" + bytes(40), b"\0\xff\6\0\0sNaPpY/usr/src/rustc"):
        assert registered().references(data, b"unknown", TABLE) == ([], [])


def test_a_picture_that_a_text_spells_is_read_from_its_beginning() -> None:
    noise = zlib.compress(random.Random(1).randbytes(30000))
    pieces = [noise[at : at + 8192] for at in range(0, len(noise), 8192)]
    chunks = [(b"IHDR", bytes(13)), *((b"IDAT", piece) for piece in pieces), (b"IEND", b"")]
    picture = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)
        for kind, body in chunks
    )
    for padding in range(3):
        text = b'<image href="data:image/png;base64,' + base64.b64encode(picture + bytes(padding))
        assert registered().references(text + b'"/>', b"a.svg", TABLE) == ([], [])
    comment = b"zTXtpath\0\0" + zlib.compress(TEXT)
    chunk = (len(comment) - 4).to_bytes(4) + comment + zlib.crc32(comment).to_bytes(4)
    text = b"base64," + base64.b64encode(picture[:-12] + chunk + picture[-12:])
    assert found_in(text)


def test_a_file_that_unpacks_to_itself_is_opened_once() -> None:
    look = Look(registered().recogniser, _Everything(), Limits(), b"quine")
    fixup = registered().recognise(gzip.compress(b""), b"")
    assert fixup is not None
    quine = gzip.compress(TEXT, mtime=0)
    look.within.append(quine)
    look.into(fixup, quine, b"quine", apart=True)
    assert look.outcomes == []
    assert look.places == []


class _Everything:
    """A finder of whatever it is given."""

    def sift(self, data: bytes) -> int:
        del data
        return EVERYTHING

    def find(self, data: bytes, site: Site) -> list[Place]:
        del data
        return [site.place(0, "ascii", "")]

    def find_apart(self, data: bytes, site: Site, *, suspected: bool) -> list[Place]:
        del data, site, suspected
        return []


def test_an_archive_that_its_fixup_refuses_is_looked_into_all_the_same() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a", TEXT * 9)
    damaged = archive.getvalue().replace(b"PK\5\6", b"PK\5\7")
    places, outcomes = registered().references(damaged, b"a.zip", TABLE)
    assert places
    assert outcomes == []
    noise = damaged + random.Random(2).randbytes(5000)
    _, outcomes = registered().references(noise, b"a.zip", TABLE)
    assert outcomes


def test_deflated_data_without_a_header_is_looked_into(tmp_path: Path) -> None:
    noise = random.Random(3).randbytes(600).hex().encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(noise + TEXT + noise[::-1]) + packer.flush()
    (tmp_path / "whole").write_bytes(packed)
    (tmp_path / "cut").write_bytes(packed[:-9])
    search = DeepSearch([StorePath(f"{OLD.decode()}-lib-1.0")])
    report = search_object(TreeObject(str(tmp_path)), search)
    assert {(each.file, each.container) for each in report.hidden} == {
        (b"cut", ("deflate",)),
        (b"whole", ("deflate",)),
    }
    assert report.unread == ()

"""Mach-O files signed ad hoc: real ones, and faithfully made ones."""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.fixups import registered
from graft.kernel import Table
from tests.fixups.samples import OLD, TABLE, grafted

REGISTRY = registered()
PAGE = 4096


def signed(
    body: bytes, *, algorithm: int = 2, cms: bytes = b"", entitlements: bytes = b""
) -> bytes:
    """A 64-bit file with one command and a body, signed as `ld` and `codesign -s -` do."""
    name, size = {1: ("sha1", 20), 2: ("sha256", 32)}[algorithm]
    limit = 48 + len(body) + -(48 + len(body)) % 16
    pages = -(-limit // PAGE)
    blobs = [(5, 0xFADE7171, entitlements)] if entitlements else []
    blobs += [(0x10000, 0xFADE0B01, cms)]
    packed = [(slot, struct.pack(">II", magic, 8 + len(b)) + b) for slot, magic, b in blobs]
    special = 5 if entitlements else 0
    hashes = 88 + 8 + special * size
    length = hashes + pages * size
    header_size = 12 + 8 * (1 + len(packed))
    total = header_size + length + sum(len(blob) for _, blob in packed)
    head = b"\xcf\xfa\xed\xfe" + struct.pack("<IIIIIII", 0x100000C, 0, 2, 1, 16, 0, 0)
    head += struct.pack("<IIII", 0x1D, 16, limit, total)
    code = (head + body).ljust(limit, b"\0")
    numbers = (0xFADE0C02, length, 0x20400, 2, hashes, 88, special, pages, limit)
    directory = (
        struct.pack(">9I4B", *numbers, size, algorithm, 0, 12).ljust(88, b"\0") + b"program\0"
    )
    slots = [b"\0" * size] * special
    for slot, blob in packed:
        if slot == 5:
            slots[0] = hashlib.new(name, blob).digest()
    directory += b"".join(slots)
    for at in range(0, limit, PAGE):
        directory += hashlib.new(name, code[at : at + PAGE]).digest()
    index, at, rest = [(0, header_size)], header_size + length, b""
    for slot, blob in packed:
        index.append((slot, at + len(rest)))
        rest += blob
    super_blob = struct.pack(">III", 0xFADE0CC0, total, len(index))
    super_blob += b"".join(struct.pack(">II", *pair) for pair in index)
    return code + super_blob + directory + rest


BODY = b"\1" * 5000 + OLD + b"\2" * 9000 + OLD


@pytest.mark.parametrize("algorithm", [1, 2])
def test_a_file_signed_ad_hoc_is_signed_again(algorithm: int) -> None:
    new, [outcome] = REGISTRY.rewrite(signed(BODY, algorithm=algorithm), b"program", TABLE)
    assert outcome.outcome == "rewritten"
    assert new == signed(grafted(BODY), algorithm=algorithm)


def test_a_reference_in_entitlements_is_left_alone() -> None:
    data = signed(BODY, entitlements=b"<plist>" + OLD)
    new, [outcome] = REGISTRY.rewrite(data, b"program", TABLE)
    assert new is data
    assert outcome.reason == "the change is inside of the code signature"


def test_a_file_of_several_architectures_is_signed_in_each() -> None:
    def fat(body: bytes) -> bytes:
        one, other = signed(body), signed(b"\4" * 3000 + body)
        head = b"\xca\xfe\xba\xbe" + struct.pack(">I", 2)
        at = [PAGE, PAGE + len(one) + -len(one) % PAGE]
        for start, data in zip(at, (one, other), strict=True):
            head += struct.pack(">5I", 0x100000C, 0, start, len(data), 12)
        return head.ljust(PAGE, b"\0") + one.ljust(at[1] - at[0], b"\0") + other

    new, _ = REGISTRY.rewrite(fat(b"\3" * 3000 + BODY), b"program", TABLE)
    assert new == fat(b"\3" * 3000 + grafted(BODY))


def test_what_is_signed_with_a_key_is_left_alone() -> None:
    data = signed(BODY, cms=b"a signature")
    new, [outcome] = REGISTRY.rewrite(data, b"program", TABLE)
    assert new is data
    assert outcome.reason == "somebody's key has signed it: only they can do it again"


def test_what_was_signed_wrongly_is_left_alone() -> None:
    data = bytearray(signed(BODY))
    data[5000] ^= 1
    new, [outcome] = REGISTRY.rewrite(bytes(data), b"program", TABLE)
    assert new == data
    assert outcome.reason == "the code signature did not fit the pages before"


def test_a_class_of_java_is_none() -> None:
    assert REGISTRY.recognise(b"\xca\xfe\xba\xbe\0\0\0\x34", b"A.class") is None


@given(st.data())
def test_a_damaged_file_raises_nothing(draw: st.DataObject) -> None:
    data = bytearray(signed(BODY[4900:5100], entitlements=OLD))
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, 47) | st.integers(len(data) - 300, len(data) - 1))
        data[at] = draw.draw(st.integers(0, 255))
    cut = bytes(data[: draw.draw(st.integers(60, len(data)))])
    new, _ = REGISTRY.rewrite(cut, b"program", TABLE)
    assert len(new) == len(cut)


def wrong_pages(data: bytes) -> list[int]:
    """The pages whose hash is not in the signature."""
    (count,) = struct.unpack_from("<I", data, 16)
    at, wrong, seen = 32, [], 0
    for _ in range(count):
        command, size, offset, _ = struct.unpack_from("<IIII", data, at)
        at += size
        if command != 0x1D:
            continue
        for index in range(*struct.unpack_from(">I", data, offset + 8)):
            _, where = struct.unpack_from(">II", data, offset + 12 + 8 * index)
            blob = data[offset + where :]
            if blob[:4] != b"\xfa\xde\x0c\x02":
                continue
            hashes, _, _, pages, limit = struct.unpack_from(">5I", blob, 16)
            for page in range(pages):
                begin = page << blob[39]
                digest = hashlib.sha256(data[begin : min(begin + (1 << blob[39]), limit)]).digest()
                seen += 1
                if blob[hashes + 32 * page :][:32] != digest:
                    wrong.append(page)
    assert seen
    return wrong


@pytest.mark.slow
@pytest.mark.needs("npm")
def test_a_real_program_for_macos_is_signed_again(tmp_path: Path) -> None:
    package = "@esbuild/darwin-arm64@0.21.5"
    done = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=tmp_path, capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("npm cannot fetch it")
    [archive] = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as tar:
        file = tar.extractfile("package/bin/esbuild")
        assert file is not None
        data = file.read()
    assert wrong_pages(data) == []
    # Go's table of digits: as long as a hash part, and of its alphabet.
    found = re.search(rb"[0-9]{32}", data)
    assert found is not None
    new, [outcome] = REGISTRY.rewrite(data, b"esbuild", Table([(found[0], b"z" * 32)]))
    assert outcome.outcome == "rewritten"
    assert b"z" * 32 in new
    assert wrong_pages(new) == []
    assert wrong_pages(data.replace(found[0], b"z" * 32)) != []

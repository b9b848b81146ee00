"""Archives whose members sign each other: left alone, whatever the kind of the signature."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from graft.fixups import registered
from tests.fixups.samples import TABLE, text

MEMBERS = (
    "META-INF/documentsignatures.xml",
    "META-INF/signatures.xml",
    "META-INF/cose.sig",
    "META-INF/X.SF",
    "_xmlsignatures/sig1.xml",
    ".signature.p7s",
)


def _archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", text())
        for name in names:
            archive.writestr(name, "signature")
    return file.getvalue()


@pytest.mark.parametrize("member", MEMBERS)
def test_a_signed_archive_is_left_alone(member: str) -> None:
    data = _archive(member)
    new, outcomes = registered().rewrite(data, b"a.zip", TABLE)
    assert new == data
    assert "signed" in (outcomes[-1].reason or "")


def test_a_package_with_a_signing_block_is_left_alone() -> None:
    data = _archive()
    end = data.rindex(b"PK\5\6")
    (directory,) = struct.unpack_from("<I", data, end + 16)
    block = struct.pack("<Q", 40) + bytes(16) + struct.pack("<Q", 40) + b"APK Sig Block 42"
    moved = bytearray(data[:directory] + block + data[directory:])
    struct.pack_into("<I", moved, end + len(block) + 16, directory + len(block))
    new, (outcome,) = registered().rewrite(bytes(moved), b"a.zip", TABLE)
    assert new == moved
    assert "signed" in (outcome.reason or "")


def test_an_archive_without_a_signature_is_rewritten() -> None:
    data = _archive("META-INF/MANIFEST.MF", "signatures.xml")
    new, (outcome,) = registered().rewrite(data, b"a.zip", TABLE)
    assert outcome.outcome == "rewritten"
    assert new != data

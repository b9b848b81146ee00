"""Ad-hoc signatures of Mach-O files, made up and real: their page hashes fit after a rewrite."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.mach_o_signature import code_directories, is_mach_o, resigned
from tests.examples import examples

OLD, NEW = b"0v5i4c9wjjllpnyrj27zl2j0wkk8x1nk", b"1w5i4c9wjjllpnyrj27zl2j0wkk8x1nz"
PAGE = 4096
ADHOC, LINKER_SIGNED = 0x2, 0x20000
SHA1, SHA256, SHA256_CUT, SHA384 = 1, 2, 3, 4
SIZES = {SHA1: 20, SHA256: 32, SHA256_CUT: 20, SHA384: 48}
ARM64, X86_64 = 0x0100000C, 0x01000007


def _hash(kind: int, data: bytes) -> bytes:
    name = {SHA1: "sha1", SHA384: "sha384"}.get(kind, "sha256")
    return hashlib.new(name, data).digest()[: SIZES[kind]]


@dataclass(frozen=True, kw_only=True)
class Made:
    """A thin Mach-O file of some pages, signed."""

    code: bytes = b"\x90" * 5000 + b"/nix/store/" + OLD + b"-lib\0" + b"\xc3" * 6000
    kinds: tuple[int, ...] = (SHA256,)
    flags: int = ADHOC
    version: int = 0x20400
    page_shift: int = 12
    cms: bytes | None = None
    entitlements: bytes = b"<plist/>"
    name: bytes = b"made"
    cpu: int = ARM64
    scatter: int = 0

    def file(self) -> bytes:
        blobs: list[tuple[int, bytes]] = [(5, _blob(0xFADE7171, self.entitlements))]
        if self.cms is not None:
            blobs.append((0x10000, _blob(0xFADE0B01, self.cms)))
        command = struct.pack("<IIIIIIII", 0xFEEDFACF, self.cpu, 0, 6, 1, 16, 0, 0)
        limit = -(-(len(command) + 16 + len(self.code)) // 16) * 16
        size = len(self._signature(b"", limit, blobs))
        command += struct.pack("<IIII", 0x1D, 16, limit, size)
        signed = (command + self.code).ljust(limit, b"\0")
        return signed + self._signature(signed, limit, blobs)

    def _signature(self, signed: bytes, limit: int, others: list[tuple[int, bytes]]) -> bytes:
        blobs = list(others)
        entitlements = others[0][1]
        for index, kind in enumerate(self.kinds):
            slot = 0x1000 + index - 1 if index else 0
            blobs.append((slot, self._directory(kind, signed, limit, entitlements)))
        at = 12 + 8 * len(blobs)
        table = b""
        for slot, blob in blobs:
            table += struct.pack(">II", slot, at)
            at += len(blob)
        body = struct.pack(">I", len(blobs)) + table + b"".join(blob for _, blob in blobs)
        return _blob(0xFADE0CC0, body)

    def _directory(self, kind: int, signed: bytes, limit: int, entitlements: bytes) -> bytes:
        page = 1 << self.page_shift if self.page_shift else limit
        pages = range(0, limit, page)
        special = [bytes(SIZES[kind])] * 4
        hashes = b"".join([_hash(kind, entitlements), *special])
        hashes += b"".join(_hash(kind, signed[at : min(at + page, limit)]) for at in pages)
        name_at = 88
        hashes_at = name_at + len(self.name) + 1 + 5 * SIZES[kind]
        fields = (self.version, self.flags, hashes_at, name_at, 5, len(pages), limit)
        body = struct.pack(">IIIIIII", *fields)
        body += struct.pack(">BBBBI", SIZES[kind], kind, 0, self.page_shift, 0)
        body += struct.pack(">IIIQQQQ", self.scatter, 0, 0, 0, 0, 0, 0)
        return _blob(0xFADE0C02, body + self.name + b"\0" + hashes)


def _blob(magic: int, body: bytes) -> bytes:
    return struct.pack(">II", magic, 8 + len(body)) + body


def _fat(*slices: bytes) -> bytes:
    heads, body, at = b"", b"", PAGE
    for data in slices:
        heads += struct.pack(">IIIII", *struct.unpack_from("<II", data, 4), at, len(data), 12)
        body += data.ljust(-(-len(data) // PAGE) * PAGE, b"\0")
        at = PAGE + len(body)
    return (struct.pack(">II", 0xCAFEBABE, len(slices)) + heads).ljust(PAGE, b"\0") + body


def _fits(data: bytes) -> bool:
    directories = code_directories(data)
    return all(each.stored(data) == each.computed(data) for each in directories)


def _without_hashes(data: bytes) -> bytes:
    blank = bytearray(data)
    for each in code_directories(data):
        size = len(each.stored(data))
        blank[each.hashes : each.hashes + size] = bytes(size)
    return bytes(blank)


@pytest.mark.parametrize(
    "made",
    [
        Made(),
        Made(kinds=(SHA1, SHA256), cpu=X86_64),
        Made(kinds=(SHA256_CUT,), flags=ADHOC | LINKER_SIGNED),
        Made(page_shift=14),
        Made(page_shift=0),
        Made(cms=b""),
        Made(version=0x20001),
    ],
)
def test_after_a_rewrite_every_page_has_its_hash_and_nothing_else_has_changed(made: Made) -> None:
    old = made.file()
    assert _fits(old)
    plain = old.replace(OLD, NEW)
    assert not _fits(plain)
    new = resigned(old, plain)
    assert _fits(new)
    # Made with the new code from the beginning, it would be the same.
    assert new == replace(made, code=made.code.replace(OLD, NEW)).file()
    assert _without_hashes(new) == _without_hashes(plain)


def test_of_a_fat_file_each_slice_is_signed_by_itself() -> None:
    slices = [Made(cpu=X86_64, kinds=(SHA1, SHA256)), Made(code=b"none" * 999), Made(cpu=ARM64)]
    old = _fat(*(made.file() for made in slices))
    assert len(code_directories(old)) == 4
    new = resigned(old, old.replace(OLD, NEW))
    assert new == _fat(*(replace(made, code=made.code.replace(OLD, NEW)).file() for made in slices))


def test_an_unsigned_file_needs_nothing() -> None:
    old = struct.pack("<IIIIIIII", 0xFEEDFACF, X86_64, 0, 6, 0, 0, 0, 0) + OLD
    new = old.replace(OLD, NEW)
    assert code_directories(old) == []
    assert resigned(old, new) is new


def test_the_name_of_a_signature_may_change() -> None:
    made = Made(name=OLD + b"-lib", kinds=(SHA1, SHA256))
    new = resigned(made.file(), made.file().replace(OLD, NEW))
    assert new == replace(made, name=NEW + b"-lib", code=made.code.replace(OLD, NEW)).file()


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (Made(cms=b"signed"), "somebody's key"),
        (Made(flags=0), "not ad hoc"),
        (Made(kinds=(SHA384,)), "type 4"),
        (Made(scatter=90), "scattered"),
        (Made(entitlements=b"<" + OLD + b">"), "inside of the code signature"),
        (Made(kinds=(SHA256,) * 7), "too many"),
        (Made(page_shift=31), "too large"),
    ],
)
def test_what_cannot_be_signed_again_is_refused(made: Made, reason: str) -> None:
    old = made.file()
    with pytest.raises(BadFormatError, match=reason):
        resigned(old, old.replace(OLD, NEW))


def test_a_signature_that_did_not_fit_before_is_not_made_to() -> None:
    old = bytearray(Made().file())
    old[200] ^= 1
    with pytest.raises(BadFormatError, match="did not fit"):
        resigned(bytes(old), bytes(old).replace(OLD, NEW))


def test_a_change_in_what_describes_the_signature_is_refused() -> None:
    old = Made().file()
    new = bytearray(old)
    new[32 + 8] ^= 16  # where the signature is
    with pytest.raises(BadFormatError):
        resigned(old, bytes(new))


def test_a_java_class_is_no_mach_o_file() -> None:
    assert not is_mach_o(b"\xca\xfe\xba\xbe\0\0\0\x41")
    assert is_mach_o(b"\xca\xfe\xba\xbe\0\0\0\x02")
    assert is_mach_o(Made().file()[:8])


@given(st.integers(0, 20000))
def test_a_file_that_is_cut_off_is_read_or_refused(cut: int) -> None:
    data = _fat(Made().file(), Made(kinds=(SHA1, SHA256)).file())[:cut]
    with contextlib.suppress(BadFormatError):
        code_directories(data)


_START = 11104 - 16  # near the signature of the file below


@examples(6)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 64), st.integers(_START, _START + 600)),
            st.one_of(st.binary(min_size=1, max_size=8), st.just(b"\xff" * 8), st.just(bytes(8))),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_broken_file_is_signed_soundly_or_refused(changes: list[tuple[int, bytes]]) -> None:
    broken = bytearray(Made(kinds=(SHA1, SHA256)).file())
    for at, data in changes:
        broken[at : at + len(data)] = data
    old = bytes(broken)
    with contextlib.suppress(BadFormatError):
        assert _fits(resigned(old, old.replace(OLD, NEW)))


# --- real files


def _of_wheel(tmp_path: Path, requirement: str, platform: str) -> list[bytes]:
    """The Mach-O files of a package's build for macOS."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path)]
    command += ["--only-binary=:all:", "--python-version=3.12", f"--platform={platform}"]
    if subprocess.run([*command, requirement], check=False, capture_output=True).returncode:
        pytest.skip(f"{requirement} for {platform} cannot be had here")
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = [archive.read(name) for name in archive.namelist()]
    return [data for data in files if is_mach_o(data)]


def _changed(data: bytes) -> bytes:
    """Every 997th byte of what is signed is another, behind the load commands; twice: none."""
    changed = bytearray(data)
    for image, limit in {(each.image, each.limit) for each in code_directories(data)}:
        for at in range(image.start + 2 * PAGE, image.start + limit, 997):
            changed[at] ^= 1
    return bytes(changed)


def _check_real(files: list[bytes], algorithms: set[str]) -> None:
    found = set()
    for old in files:
        directories = code_directories(old)
        found |= {each.algorithm for each in directories}
        assert _fits(old)
        new = resigned(old, _changed(old))
        assert _fits(new)
        assert (new != old) == bool(directories)
        assert _without_hashes(new) == _without_hashes(_changed(old))
        assert resigned(new, _changed(new)) == old
    assert found == algorithms


@pytest.mark.slow
@pytest.mark.parametrize(
    ("requirement", "platform", "algorithms"),
    [
        ("markupsafe==3.0.2", "macosx_11_0_arm64", {"sha256"}),
        ("charset-normalizer==3.4.1", "macosx_10_13_universal2", {"sha256"}),  # fat
        ("pillow==10.4.0", "macosx_10_10_x86_64", {"sha1", "sha256"}),
    ],
)
def test_real_libraries_are_signed_again(
    tmp_path: Path, requirement: str, platform: str, algorithms: set[str]
) -> None:
    _check_real(_of_wheel(tmp_path, requirement, platform), algorithms)


@pytest.mark.slow
@pytest.mark.needs("npm")
@pytest.mark.parametrize(("machine", "algorithms"), [("arm64", {"sha256"}), ("x64", set())])
def test_real_programs_are_signed_again(tmp_path: Path, machine: str, algorithms: set[str]) -> None:
    command = ["npm", "pack", "--silent", f"@esbuild/darwin-{machine}@0.25.0"]
    if subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode:
        pytest.skip("the package cannot be had here")
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        program = archive.extractfile("package/bin/esbuild")
        assert program is not None
        _check_real([program.read()], algorithms)

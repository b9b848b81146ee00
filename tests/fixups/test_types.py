"""Tables, compiled code, what is signed, images: what becomes of a reference in each."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
import subprocess
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.fixups import FixupOutcome, registered
from graft.fixups.rewrite import Members
from tests.fixups.samples import (
    OLD,
    TABLE,
    beam,
    cdb,
    grafted,
    gvdb,
    oci_layout,
    pe,
    sbcl_core,
    tar,
    text,
    zipped,
    zstd,
)

REGISTRY = registered()
WHERE = b"/nix/store/" + OLD


def rewritten(data: bytes, name: str) -> tuple[bytes, list[FixupOutcome]]:
    return REGISTRY.rewrite(data, name.encode(), TABLE)


def together(files: dict[str, bytes]) -> tuple[dict[str, bytes], list[FixupOutcome]]:
    """Files beside each other."""
    outcomes: list[FixupOutcome] = []

    def one(siblings: Members, path: bytes, data: bytes) -> bytes:
        new, found = REGISTRY.rewrite(data, path, TABLE, siblings)
        outcomes.extend(found)
        return new

    named = [(name.encode(), data) for name, data in files.items()]
    members = Members(named, one)  # type: ignore[arg-type]
    return dict(zip(files, members.all(), strict=True)), outcomes


def left_alone(data: bytes, name: str) -> str:
    """Why; it is the same, and the reference in it is found."""
    new, outcomes = rewritten(data, name)
    assert new is data
    assert outcomes[-1].outcome == "left-alone"
    assert REGISTRY.references(data, name.encode(), TABLE)[0]
    reason = outcomes[-1].reason
    assert reason is not None
    return reason


# ---- tables ------------------------------------------------------------------------------------


def test_values_of_gvdb_change_and_keys_do_not() -> None:
    data = gvdb({b"path": WHERE})
    assert rewritten(data, "a.compiled") == (gvdb({b"path": grafted(WHERE)}), [])
    assert left_alone(gvdb({WHERE: b"a"}), "a.compiled").startswith("a key would change")


def test_a_reference_in_a_compressed_resource_is_seen() -> None:
    def resource(contents: bytes) -> bytes:
        return struct.pack("<II", len(contents), 1) + zlib.compress(contents) + b"\0(uuay)"

    data = gvdb({b"/ui": resource(WHERE)})
    assert left_alone(data, "a.gresource") == "there is a reference in a compressed resource"
    # The packed resource is a stream at an offset as well.
    _, place = REGISTRY.references(data, b"a.gresource", TABLE)[0]
    assert place.container[0].startswith("gvdb:")
    assert rewritten(gvdb({b"/ui": resource(b"none")}), "a.gresource")[1] == []


@pytest.mark.slow
@pytest.mark.needs("glib-compile-schemas", "gsettings")
def test_settings_are_read_from_a_changed_table(tmp_path: Path) -> None:
    (tmp_path / "a.gschema.xml").write_text(
        '<schemalist><schema id="a.b" path="/a/b/"><key name="where" type="s">'
        f"<default>'{WHERE.decode()}'</default></key></schema></schemalist>"
    )
    subprocess.run(["glib-compile-schemas", str(tmp_path)], check=True)
    table = tmp_path / "gschemas.compiled"
    new, outcomes = rewritten(table.read_bytes(), "gschemas.compiled")
    assert outcomes == []
    table.write_bytes(new)
    shown = subprocess.run(
        ["gsettings", "get", "a.b", "where"],
        env={"GSETTINGS_SCHEMA_DIR": str(tmp_path), "GSETTINGS_BACKEND": "memory", "PATH": "/bin"},
        capture_output=True,
        check=True,
    )
    assert grafted(WHERE) in shown.stdout


def test_data_of_a_cdb_change_and_keys_do_not() -> None:
    assert rewritten(cdb({b"a": WHERE}), "a.cdb") == (cdb({b"a": grafted(WHERE)}), [])
    assert left_alone(cdb({b"a": b"b", WHERE: b"a"}), "a.cdb").startswith("a key would change")


# ---- compiled code -----------------------------------------------------------------------------


def test_literals_of_a_beam_are_compressed_again() -> None:
    literals = struct.pack(">II", 1, len(WHERE) + 6) + b"\x83m\0\0\0" + bytes([len(WHERE)]) + WHERE
    old = beam({b"AtU8": b"atoms", b"LitT": literals, b"Code": b"\1\2\3"})
    new, [outcome] = rewritten(old, "a.beam")
    assert outcome.outcome == "rewritten"
    assert new == beam({b"AtU8": b"atoms", b"LitT": grafted(literals), b"Code": b"\1\2\3"})
    assert OLD not in old
    [place] = REGISTRY.references(old, b"a.beam", TABLE)[0]
    assert place.container == ("beam:LitT",)
    assert rewritten(beam({b"LitT": b"nothing"}), "a.beam")[1] == []


@given(st.data())
def test_a_damaged_beam_raises_nothing(draw: st.DataObject) -> None:
    data = bytearray(beam({b"AtU8": WHERE, b"LitT": WHERE}))
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    rewritten(bytes(data[: draw.draw(st.integers(0, len(data)))]), "a.beam")


def test_a_core_of_sbcl_is_rewritten_unless_it_is_compressed() -> None:
    wide = WHERE.decode().encode("utf-32-le")
    new, [noted] = rewritten(sbcl_core(wide), "sbcl.core")
    assert new == sbcl_core(grafted(WHERE).decode().encode("utf-32-le"))
    assert noted.outcome == "noted"
    assert rewritten(sbcl_core(b"", compressed=True), "sbcl.core")[1][0].reason == (
        "it is a core of SBCL, and compressed"
    )


def test_what_is_compressed_in_a_file_of_ocaml_is_seen() -> None:
    new, [outcome] = rewritten(b"Caml1999I035" + WHERE, "a.cmi")
    assert new == b"Caml1999I035" + grafted(WHERE)
    assert outcome.outcome == "noted"
    packed = b"Caml1999I035\x84\x95\xa6\xbd\x08\1\1\1" + zstd.compress(WHERE * 3)
    assert left_alone(packed, "a.cmi").startswith("its data is compressed")


@pytest.mark.parametrize(
    ("name", "data", "fixup"),
    [
        ("0123456789abcdef0123456789abcdef-le64.cache-9", b"", "fontconfig"),
        ("a-1234-5678.eln", b"\x7fELF", "emacs-native"),
        ("package.cache", b"", "ghc"),
        ("A.hi", b"", "ghc"),
        ("lib.rmeta", b"rust\0\0\0\x09", "rust-metadata"),
        ("package-lock.json", b"{", "npm-lock"),
    ],
)
def test_of_some_it_is_told_that_they_changed(name: str, data: bytes, fixup: str) -> None:
    new, [outcome] = rewritten(data + WHERE, name)
    assert new == data + grafted(WHERE)
    assert (outcome.fixup, outcome.outcome) == (fixup, "noted")
    assert rewritten(data + b"nothing", name) == (data + b"nothing", [])


def test_an_archive_of_go_is_told_of() -> None:
    head = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (b"__.PKGDEF", 0, 0, 0, 0o644, len(WHERE))
    data = b"!<arch>\n" + head + WHERE + b"\n" * (len(WHERE) % 2)
    new, outcomes = rewritten(data, "a.a")
    assert new == grafted(data)
    assert [outcome.outcome for outcome in outcomes] == ["noted", "rewritten"]


def test_sums_of_vendored_packages_are_those_of_the_new_files() -> None:
    def vendored(old: bytes, stale: str) -> dict[str, bytes]:
        sums = {name: hashlib.sha256(old).hexdigest() for name in ("src/a.rs", 'b"c')}
        sums |= {"src/b.rs": hashlib.sha256(b"same").hexdigest(), "src/c.rs": stale}
        document = json.dumps({"files": sums, "package": "0" * 64})
        return {
            "src/a.rs": old,
            'b"c': old,
            "src/b.rs": b"same",
            "src/c.rs": old,
            ".cargo-checksum.json": document.encode(),
        }

    new, outcomes = together(vendored(WHERE, "1" * 64))
    assert new == vendored(grafted(WHERE), "1" * 64)
    assert [outcome.outcome for outcome in outcomes] == ["noted", "rewritten"]


# ---- what is signed ----------------------------------------------------------------------------


def test_a_kernel_module_is_rewritten_unless_it_is_signed() -> None:
    assert rewritten(b"\x7fELF" + WHERE, "a.ko") == (b"\x7fELF" + grafted(WHERE), [])
    signed = b"\x7fELF" + WHERE + b"~Module signature appended~\n"
    assert left_alone(signed, "a.ko").startswith("it is signed")
    compressed = gzip.compress(signed, mtime=0)
    new, [outcome] = rewritten(compressed, "a.ko.gz")
    assert new is compressed
    assert outcome.container == ("gzip",)


def test_a_program_of_a_firmware_is_rewritten_unless_it_is_signed() -> None:
    assert rewritten(pe({b".text": WHERE}), "boot.efi") == (pe({b".text": grafted(WHERE)}), [])
    assert left_alone(pe({b".text": WHERE}, signed=True), "boot.efi").startswith("it is signed")
    assert REGISTRY.recognise(b"MZ is how it begins, " + bytes(50), b"a") is None


def test_a_unified_kernel_image_is_looked_into_and_left_alone() -> None:
    data = pe({b".linux": b"kernel", b".initrd": zstd.compress(WHERE * 3)})
    assert left_alone(data, "linux.efi") == "it is a unified kernel image: make it anew"
    places = [place.container for place in REGISTRY.references(data, b"linux.efi", TABLE)[0]]
    assert ("pe:.initrd", "zstd") in places
    assert rewritten(pe({b".linux": b"", b".initrd": zstd.compress(b"x")}), "a.efi")[1] == []


def test_that_a_signature_beside_a_file_is_of_the_old_one_is_told() -> None:
    files = {"a": WHERE, "a.sign": b"signature", "b": b"b", "b.sig": b"x", "c.asc": b"y"}
    new, [outcome] = together(files)
    assert new == {**files, "a": grafted(WHERE)}
    assert outcome.fixup == "signature"
    assert outcome.reason is not None
    assert "'a'" in outcome.reason


@pytest.mark.parametrize("data", [b"\x7fELF" + WHERE, gzip.compress(WHERE * 2, mtime=0)])
def test_a_file_whose_signature_lies_beside_it_is_left_alone(data: bytes) -> None:
    files = {"lib/ipa.so": data, "lib/ipa.so.sign": b"signature"}
    new, [outcome] = together(files)
    assert new == files
    assert (outcome.outcome, outcome.reason) == (
        "left-alone",
        "its signature is in a file next to it",
    )
    assert together({"lib/ipa.so": data})[0] != {"lib/ipa.so": data}


# ---- images ------------------------------------------------------------------------------------


def test_blobs_that_are_named_by_their_contents_are_left_alone() -> None:
    files = oci_layout({"etc/a": WHERE})
    changed = []
    for path, data in files.items():
        assert REGISTRY.marks.begins(data)
        new, outcomes = REGISTRY.rewrite(data, path.encode(), TABLE)
        assert new is data
        changed += [outcome.fixup for outcome in outcomes if outcome.outcome == "left-alone"]
    assert changed == ["oci-blob"]
    plain = gzip.compress(WHERE, mtime=0)
    assert REGISTRY.rewrite(plain, b"a" * 64, TABLE)[0] != plain  # its name is no digest


def test_an_archive_for_docker_is_left_alone() -> None:
    files = [("manifest.json", b"[]"), ("0/layer.tar", tar([("etc/a", WHERE)]))]
    assert left_alone(tar(files), "image.tar").startswith("it is an image of a container")
    assert rewritten(tar([("a.tar", files[1][1])]), "a.tar")[1][-1].outcome == "rewritten"


# ---- texts of containers -----------------------------------------------------------------------


@pytest.mark.parametrize("flags", [0x08, 0x10, 0x18, 0x1A])
def test_the_name_and_the_comment_in_a_gzip_header_are_rewritten(flags: int) -> None:
    def made(where: bytes) -> bytes:
        header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6)
        header += (where + b"\0") * (flags & 0x18).bit_count()
        if flags & 2:
            header += struct.pack("<H", zlib.crc32(header) & 0xFFFF)
        return header + gzip.compress(where, 9, mtime=0)[10:]

    assert gzip.decompress(made(WHERE)) == WHERE
    new, [outcome] = rewritten(made(WHERE), "a.gz")
    assert outcome.outcome == "rewritten"
    assert new == made(grafted(WHERE))
    assert {p.where for p in REGISTRY.references(made(WHERE), b"a.gz", TABLE)[0]} == {
        "name",
        "contents",
    }


def test_comments_of_a_zip_archive_are_rewritten() -> None:
    def made(where: bytes) -> bytes:
        stream = BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            member = zipfile.ZipInfo("a")
            member.comment = archive.comment = where
            archive.writestr(member, b"nothing")
        return stream.getvalue()

    new, [outcome] = rewritten(made(WHERE), "a.zip")
    assert outcome.outcome == "rewritten"
    assert new == made(grafted(WHERE))


def with_sizes_at_both_places(archive: bytes) -> bytes:
    """A zip64 archive as Python before 3.11.4 writes it: 3.11.4 says -1 where 4 bytes are."""
    return re.sub(
        rb"(PK\x03\x04.{14}).{8}(\x01\0\x14\0.\x01\0\x10\0(.{4}).{4}(.{4}).{4})",
        lambda found: found[1] + found[4] + found[3] + found[2],  # packed, then not
        archive,
        flags=re.DOTALL,
    )


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_wide_sizes_of_a_zip_archives_members_stay_right(streamed: bool, both: bool) -> None:
    class Stream(BytesIO):
        def seekable(self) -> bool:
            return not streamed

    def made(where: bytes) -> bytes:
        stream = Stream()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ("a", "b"):
                member = zipfile.ZipInfo(name)
                member.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(member, "w", force_zip64=True) as file:
                    file.write(where)
        made = stream.getvalue()
        return with_sizes_at_both_places(made) if both else made

    new, [outcome] = rewritten(made(text()), "a.zip")
    assert outcome.outcome == "rewritten"
    assert new == made(grafted(text()))


def test_a_zip_archive_of_the_large_kind_is_left_alone() -> None:
    data = bytearray(zipped([("a", text())]))
    data[-12:-8] = b"\xff" * 4
    _, [outcome] = rewritten(bytes(data), "a.zip")
    assert outcome.reason == "it is of the kind for more than 4 GiB (zip64)"


# ---- erofs -------------------------------------------------------------------------------------


@pytest.mark.needs("mkfs.erofs", "fsck.erofs")
def test_an_erofs_image_is_rewritten_and_what_is_packed_in_it_is_seen(tmp_path: Path) -> None:
    top = tmp_path / "etc"
    top.mkdir()
    (top / "link").symlink_to(WHERE.decode())
    (top / "file").write_bytes(WHERE)
    image = tmp_path / "image"
    subprocess.run(["mkfs.erofs", "-T1", image, top], check=True, capture_output=True)
    new, [outcome] = rewritten(image.read_bytes(), "a-etc-metadata.erofs")
    assert outcome.outcome == "rewritten"
    image.write_bytes(new)
    out = tmp_path / "out"
    subprocess.run(["fsck.erofs", f"--extract={out}", image], check=True, capture_output=True)
    assert (out / "link").readlink() == Path(grafted(WHERE).decode())
    assert (out / "file").read_bytes() == grafted(WHERE)


@pytest.mark.parametrize(
    ("name", "attribute", "fatal"),
    [
        ("a-etc-metadata.erofs", b"", True),
        ("image", b"overlay.redirect", True),
        ("image", b"", False),
    ],
)
@pytest.mark.parametrize("switches", [(), ("no-erofs",)])
def test_an_etc_that_is_left_alone_is_fatal(
    name: str, attribute: bytes, fatal: bool, switches: tuple[str, ...]
) -> None:
    data = bytes(1024) + b"\xe2\xe1\xf5\xe0" + attribute + WHERE
    new, [outcome] = registered(switches).rewrite(data, name.encode(), TABLE)
    assert new is data
    assert (outcome.fixup, outcome.outcome) == ("erofs", "left-alone")
    assert outcome.fatal == (fatal and not switches)

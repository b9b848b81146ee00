"""Files with other files in them."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from tests.fidelity.hazard import OLD_PATH, WHERE, Sample, noise, run, text
from tests.fixups.samples import oci_layout, pe, unpacked

COMPRESSED = "gzip, xz, bzip2, zstd, brotli, lz4 files"
VISIBLE = "a hash visible in a stored or incompressible block of a compressed file"
INITRD = "initrd (cpio, often concatenated and compressed), UKI"
IMAGES = "squashfs, erofs, ext4, iso, qcow2, OCI layers"
ZIP = "zip, jar, whl, egg, docx"
SIGNED_JAR = "signed jar"
TAR = "tar inside a store path"
AR = "ar archives (.a)"
TEX = "TeX .fmt"


def compressed_by(*command: str, name: str, data: bytes) -> Callable[[Path], None]:
    def make(top: Path) -> None:
        (top / name).write_bytes(run(*command, data=data))

    return make


def expanded_by(*command: str, name: str) -> Callable[[Path], bytes]:
    def read(top: Path) -> bytes:
        return run(*command, data=(top / name).read_bytes())

    return read


def brotli(way: str) -> list[str]:
    code = "process.stdout.write(require('zlib').brotli%sSync(require('fs').readFileSync(0)))"
    return ["node", "-e", code % way]


def compressor(program: str, suffix: str, *options: str, switches: str = "-d") -> Sample:
    name = f"a.1{suffix}"
    return Sample(
        hazard=COMPRESSED,
        name=f"`{' '.join([program, *options])}`",
        judge=f"`{program} {switches}`",
        make=compressed_by(program, *options, "-c", name=name, data=text()),
        read=expanded_by(program, switches, "-c", name=name),
        needs=(program,),
    )


def cpio(top: Path) -> bytes:
    root = top.with_name("root")
    root.mkdir()
    (root / "init").write_bytes(text())
    (root / "sh").symlink_to(OLD_PATH)
    return run("cpio", "-o", "-H", "newc", "--quiet", data=b"init\nsh\n", directory=root)


def initrd(top: Path) -> None:
    early = run("cpio", "-o", "-H", "newc", "--quiet", data=b"", directory=top)
    (top / "initrd").write_bytes(early + run("gzip", "-9n", data=cpio(top)))


def read_initrd(top: Path) -> bytes:
    data = (top / "initrd").read_bytes()
    archive = run("gzip", "-d", data=data[data.index(b"\x1f\x8b\x08") :])
    out = top.with_name(top.name + "-out")
    out.mkdir()
    run("cpio", "-i", "--quiet", data=archive, directory=out)
    return (out / "init").read_bytes() + os.readlink(out / "sh").encode()


def uki(top: Path) -> None:
    archive = run("zstd", "-c", data=cpio(top))
    (top / "linux.efi").write_bytes(pe({b".linux": b"kernel", b".initrd": archive}))


def read_uki(top: Path) -> bytes:
    data = (top / "linux.efi").read_bytes()
    return run("zstd", "-dc", data=data[data.index(b"\x28\xb5\x2f\xfd") :])


def erofs(*options: str) -> Callable[[Path], None]:
    def make(top: Path) -> None:
        root = top.with_name("root")
        root.mkdir()
        (root / "units").symlink_to(f"{OLD_PATH}/lib/systemd")
        (root / "hosts").write_bytes(text(600))
        run("mkfs.erofs", "-T1", *options, top / "etc.erofs", root)

    return make


def read_erofs(top: Path) -> bytes:
    out = top.with_name(top.name + "-out")
    run("fsck.erofs", f"--extract={out}", "--no-preserve", top / "etc.erofs")
    return os.readlink(out / "units").encode() + (out / "hosts").read_bytes()


def ext4(top: Path) -> None:
    root = top.with_name("root")
    (root / OLD_PATH[11:]).mkdir(parents=True)
    (root / "link").symlink_to(OLD_PATH)
    options = ["-q", "-F", "-O", "metadata_csum", "-U", "clear", "-d", root]
    run("mke2fs", "-t", "ext4", *options, top / "root.img", "1M")


def read_ext4(top: Path) -> bytes:
    run("e2fsck", "-fn", top / "root.img")
    return run("debugfs", "-R", "ls -l /", top / "root.img")


def oci(top: Path) -> None:
    for name, data in oci_layout({"etc/where": text()}).items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)


def read_oci(top: Path) -> bytes:
    def blob(descriptor: dict[str, str]) -> bytes:
        digest = descriptor["digest"].removeprefix("sha256:")
        data = (top / "blobs" / "sha256" / digest).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        return data

    [manifest] = json.loads((top / "index.json").read_bytes())["manifests"]
    [layer] = json.loads(blob(manifest))["layers"]
    return repr(unpacked(blob(layer))).encode()


def zipped(*options: str) -> Callable[[Path], None]:
    def make(top: Path) -> None:
        (top.with_name("a")).write_bytes(text())
        run("zip", "-q", "-X", *options, top / "a.zip", "a", directory=top.parent)

    return make


def read_zip(top: Path) -> bytes:
    run("unzip", "-tq", top / "a.zip")
    return run("unzip", "-p", top / "a.zip", "a")


def jar(top: Path) -> None:
    (top.with_name("a")).write_bytes(text())
    run("jar", "cf", top / "a.jar", "a", directory=top.parent)


def signed_jar(top: Path) -> None:
    jar(top)
    keys = top.with_name("keys")
    word = ["-storepass", "password", "-keystore", keys]
    run("keytool", "-genkeypair", "-alias", "k", "-keyalg", "EC", "-dname", "CN=k", *word)
    run("jarsigner", *word, top / "a.jar", "k")


def read_jar(top: Path) -> bytes:
    out = top.with_name(top.name + "-out")
    out.mkdir()
    run("jar", "xf", top / "a.jar", directory=out)
    return (out / "a").read_bytes()


def read_signed_jar(top: Path) -> bytes:
    assert b"jar verified" in run("jarsigner", "-verify", top / "a.jar")
    return read_jar(top)


def wheel(top: Path) -> None:
    with zipfile.ZipFile(top / "a-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        source = b"where = '" + WHERE + b"'\n"
        digest = hashlib.sha256(source).digest()
        record = b"a.py,sha256=" + urlsafe_b64encode(digest).rstrip(b"=") + b",%d" % len(source)
        files = {
            "a.py": source,
            "a-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: a\nVersion: 1\n",
            "a-1.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
            "a-1.dist-info/RECORD": record + b"\na-1.dist-info/RECORD,,\n",
        }
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def read_wheel(top: Path) -> bytes:
    with zipfile.ZipFile(top / "a-1-py3-none-any.whl") as archive:
        assert archive.testzip() is None
        source = archive.read("a.py")
        digest = urlsafe_b64encode(hashlib.sha256(source).digest()).rstrip(b"=")
        assert digest in archive.read("a-1.dist-info/RECORD")
    return source


def tar(top: Path) -> None:
    with tarfile.open(top / "a.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo(f"{OLD_PATH[1:]}/a")
        member.size, member.mtime = len(text()), 1
        archive.addfile(member, BytesIO(text()))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, OLD_PATH
        archive.addfile(link)


def read_tar(top: Path) -> bytes:
    listed = run("tar", "-tvf", top / "a.tar")
    return listed + run("tar", "-xOf", top / "a.tar")


def library(top: Path) -> None:
    (top / "a.c").write_text(f'const char *where = "{OLD_PATH}";')
    run("gcc", "-c", "a.c", "-o", "a.o", directory=top)
    run("ar", "rcsD", "liba.a", "a.o", directory=top)
    (top / "a.c").unlink()
    (top / "a.o").unlink()


def read_library(top: Path) -> bytes:
    work = top.with_name(top.name + "-out")
    work.mkdir()
    (work / "m.c").write_text(
        "#include <stdio.h>\nextern const char *where;int main(void) {puts(where);return 0;}"
    )
    run("gcc", work / "m.c", top / "liba.a", "-o", work / "m")
    return run(work / "m")


def package(top: Path) -> None:
    """A man page in a tar in an ar."""
    root = top.with_name("package")
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n"
    )
    (root / "a.1.gz").write_bytes(run("gzip", "-9n", data=text()))
    run("dpkg-deb", "-Zxz", "--root-owner-group", "-b", root, top / "a.deb")


def read_package(top: Path) -> bytes:
    out = top.with_name(top.name + "-out")
    run("dpkg-deb", "-x", top / "a.deb", out)
    return run("gzip", "-d", data=(out / "a.1.gz").read_bytes())


SAMPLES = [
    compressor("gzip", ".gz", "-9n"),
    compressor("xz", ".xz", "-6"),
    compressor("bzip2", ".bz2", "-9"),
    compressor("zstd", ".zst", "-19"),
    compressor("lz4", ".lz4", "-9"),
    Sample(
        hazard=COMPRESSED,
        name="brotli",
        judge="zlib of Node.js",
        make=compressed_by(*brotli("Compress"), name="a.br", data=text()),
        read=expanded_by(*brotli("Decompress"), name="a.br"),
        needs=("node",),
    ),
    Sample(
        hazard=COMPRESSED,
        name="a man page in a Debian package: gzip in tar in xz in ar",
        judge="`dpkg-deb -x`, `gzip -d`",
        make=package,
        read=read_package,
        needs=("dpkg-deb", "gzip"),
    ),
    *(
        Sample(
            hazard=VISIBLE,
            name=f"`{program} -1` of noise around a path",
            judge=f"`{program} -d`",
            make=compressed_by(
                program, "-1", "-c", name=f"a{suffix}", data=noise(9000) + WHERE + noise(9000, 7)
            ),
            read=expanded_by(program, "-dc", name=f"a{suffix}"),
            needs=(program,),
        )
        for program, suffix in (("gzip", ".gz"), ("zstd", ".zst"), ("lz4", ".lz4"), ("xz", ".xz"))
    ),
    *(
        Sample(
            hazard=INITRD,
            name=name,
            judge="`gzip -d`, `cpio -i`",
            make=initrd,
            read=read_initrd,
            needs=("cpio", "gzip"),
            switches=switches,
        )
        for name, switches in (
            ("two archives of cpio, one in gzip", ()),
            ("the same with `--fixup initrd`", ("initrd",)),
        )
    ),
    Sample(
        hazard=INITRD,
        name="a unified kernel image with an initrd in zstd (made by hand)",
        judge="`zstd -d`",
        make=uki,
        read=read_uki,
        needs=("cpio", "zstd"),
    ),
    *(
        Sample(
            hazard=IMAGES,
            name=f"`mkfs.erofs {options[0]}`" if options else "`mkfs.erofs`",
            judge="`fsck.erofs --extract`",
            make=erofs(*options),
            read=read_erofs,
            needs=("mkfs.erofs", "fsck.erofs"),
        )
        for options in ((), ("-zlz4",))
    ),
    Sample(
        hazard=IMAGES,
        name="`mke2fs -t ext4 -O metadata_csum -d`",
        judge="`e2fsck -fn`, `debugfs`",
        make=ext4,
        read=read_ext4,
        needs=("mke2fs", "e2fsck", "debugfs"),
    ),
    Sample(
        hazard=IMAGES,
        name="an OCI image layout",
        judge="the SHA-256 of each blob against its name",
        make=oci,
        read=read_oci,
    ),
    Sample(
        hazard=ZIP,
        name="`zip`, deflated",
        judge="`unzip -t`",
        make=zipped(),
        read=read_zip,
        needs=("zip", "unzip"),
    ),
    Sample(
        hazard=ZIP,
        name="`zip -0`, stored",
        judge="`unzip -t`",
        make=zipped("-0"),
        read=read_zip,
        needs=("zip", "unzip"),
    ),
    Sample(hazard=ZIP, name="a jar", judge="`jar xf`", make=jar, read=read_jar, needs=("jar",)),
    Sample(
        hazard=ZIP,
        name="a wheel",
        judge="zipfile of Python, and the sums in its RECORD",
        make=wheel,
        read=read_wheel,
    ),
    Sample(
        hazard=SIGNED_JAR,
        name="a jar signed by `jarsigner`",
        judge="`jarsigner -verify`",
        make=signed_jar,
        read=read_signed_jar,
        needs=("jar", "keytool", "jarsigner"),
    ),
    Sample(
        hazard=TAR,
        name="names, targets and contents in a tar archive",
        judge="`tar -xO`",
        make=tar,
        read=read_tar,
        needs=("tar",),
    ),
    Sample(
        hazard=AR,
        name="a static library",
        judge="`gcc` links with it, and the program is run",
        make=library,
        read=read_library,
        needs=("gcc", "ar"),
    ),
    Sample(
        hazard=TEX,
        name="a format, which is in gzip",
        judge="`gzip -d`",
        make=compressed_by("gzip", "-9n", name="pdflatex.fmt", data=b"W2TX" + text()),
        read=expanded_by("gzip", "-dc", name="pdflatex.fmt"),
        needs=("gzip",),
    ),
]

"""Archives and compressed files, of one tree that names NEW alone and of one that names more."""

import base64
import bz2
import gzip
import hashlib
import io
import lzma
import os
import subprocess
import tarfile
import zipfile

out, replaced, curl = (os.environ[name] for name in ("out", "replaced", "curl"))
TIME = (1990, 1, 1, 0, 0, 0)


def main() -> None:
    filler = "".join(f"{number}: what a library says of itself\n" for number in range(200))
    trees = {
        "plain": {"lib.pc": f"{filler}libdir={replaced}/lib\n", "readme": filler},
        "mixed": {
            "lib.pc": f"{filler}libdir={replaced}/lib\nbindir={curl}/bin\nprefix={out}\n",
            "readme": filler,
        },
    }
    for name, tree in trees.items():
        directory = f"{out}/{name}"
        os.makedirs(directory)
        make(directory, {file: text.encode() for file, text in tree.items()})


def make(directory: str, tree: dict[str, bytes]) -> None:
    tar, text = tarred(tree), tree["lib.pc"]
    write(f"{directory}/data.tar", tar)
    write(f"{directory}/data.tar.gz", gzip.compress(tar, 6, mtime=0))
    write(f"{directory}/text.gz", gzip.compress(text, 9, mtime=0))
    write(f"{directory}/data.tar.xz", lzma.compress(tar))
    write(f"{directory}/extreme.tar.xz", lzma.compress(tar, preset=9 | lzma.PRESET_EXTREME))
    write(f"{directory}/data.tar.bz2", bz2.compress(tar))
    write(f"{directory}/stored.zip", zipped(tree, zipfile.ZIP_STORED))
    write(f"{directory}/deflated.zip", zipped(tree))
    manifest = {"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\n\r\n"}
    write(f"{directory}/classes.jar", zipped({**manifest, **tree}))
    write(f"{directory}/nested.zip", zipped({"data.tar.xz": lzma.compress(tar)}))
    write(f"{directory}/made-1.0-py3-none-any.whl", wheel(text))
    for tool, target in (
        (["gzip", "-9n"], "gnu.tar.gz"),
        (["xz", "-6"], "command.tar.xz"),
        (["zstd", "-19", "-q"], "data.tar.zst"),
        (["lz4", "-9", "-q"], "data.tar.lz4"),
    ):
        packed = subprocess.run([*tool, "-c"], input=tar, stdout=subprocess.PIPE, check=True)
        write(f"{directory}/{target}", packed.stdout)
    write(f"{directory}/initrd", archived(tree) + gzip.compress(archived(tree), 9, mtime=0))
    package(directory, tar)


def package(directory: str, tar: bytes) -> None:
    write("debian-binary", b"2.0\n")
    write("control.tar.gz", gzip.compress(tarred({"control": b"Package: made\n"}), 9, mtime=0))
    write("data.tar.xz", lzma.compress(tar))
    members = ["debian-binary", "control.tar.gz", "data.tar.xz"]
    subprocess.run(["ar", "rcD", f"{directory}/package.deb", *members], check=True)


def tarred(tree: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in sorted(tree.items()):
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mtime = len(data), 1
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def archived(tree: dict[str, bytes]) -> bytes:
    """A cpio archive as kernels start with (newc)."""
    made = b""
    for number, (name, data) in enumerate([*sorted(tree.items()), ("TRAILER!!!", b"")], 1):
        fields = [number, 0o100444, 0, 0, 1, 1, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        header = "070701" + "".join(f"{field:08X}" for field in fields) + name + "\0"
        for piece in (header.encode(), data):
            made += piece + bytes(-len(piece) % 4)
    return made


def zipped(tree: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, data in tree.items():
            file.writestr(zipfile.ZipInfo(name, TIME), data, method)
    return stream.getvalue()


def wheel(text: bytes) -> bytes:
    module = b"TEXT = '''" + text + b"'''\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(module).digest()).rstrip(b"=").decode()
    record = f"made.py,sha256={digest},{len(module)}\nmade-1.0.dist-info/RECORD,,\n"
    return zipped({"made.py": module, "made-1.0.dist-info/RECORD": record.encode()})


def write(file: str, data: bytes) -> None:
    with open(file, "wb") as stream:
        stream.write(data)


main()

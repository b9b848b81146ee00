"""What other compilers and installers leave: modules, caches, and lists of sums."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import py_compile
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from graft.formats.hashing import nix32_encode
from tests.fidelity.hazard import NEW, OLD_PATH, WHERE, Sample, StaleError, run, text, written
from tests.fixups.samples import beam, sbcl_core, zstd

SCHEME = "Racket .zo/.dep (SHA-1), Chez .boot"
BEAM = "BEAM"
SBCL = "SBCL cores"
R = "R .rdb/.rdx"
EMACS = "Emacs .eln"
PYC_TIME = ".pyc, timestamp"
PYC_HASH = ".pyc, checked hash"
RECORD = "RECORD in dist-info"
PACKAGES = ".packlist, npm integrity, Cargo checksums, CMake hashes"
GO = "Go archives, buildid"
ABI = "GHC package.cache/.hi, OCaml .cmi/.cmx CRC, Rust .rmeta"
CHECKSUMS = "a checksum of another store file kept as text (hex, base64, SRI)"

SOURCE = b"where = '" + WHERE + b"'\nprint(where)\n"
TAG = sys.implementation.cache_tag


def file(name: str) -> Callable[[Path], bytes]:
    return lambda top: (top / name).read_bytes()


def _stale(shown: bytes) -> bytes:
    if NEW in shown:
        raise StaleError
    return shown


def racket(top: Path) -> None:
    code = b"#~\x048.10\x06racket" + zlib.compress(text())
    (top / "main_rkt.zo").write_bytes(code)
    digest = hashlib.sha1(code).hexdigest().encode()
    (top / "main_rkt.dep").write_bytes(b'(("8.10" racket) "%b" "%b")' % (digest, WHERE))


def read_racket(top: Path) -> bytes:
    code, dep = (top / "main_rkt.zo").read_bytes(), (top / "main_rkt.dep").read_bytes()
    assert hashlib.sha1(code).hexdigest().encode() in dep
    return dep + zlib.decompress(code[code.index(b"racket") + 6 :])


def chez(top: Path) -> None:
    (top / "petite.boot").write_bytes(b"\0\0\0\0chez" + run("lz4", "-c", data=text()))


def read_beam(top: Path) -> bytes:
    data = (top / "a.beam").read_bytes()
    assert len(data) == 8 + int.from_bytes(data[4:8], "big")
    at = data.index(b"LitT")
    length, size = struct.unpack_from(">II", data, at + 4)
    literals = zlib.decompress(data[at + 12 : at + 8 + length])
    assert len(literals) == size
    return literals


def r_database(top: Path) -> None:
    record = struct.pack(">I", len(text())) + zlib.compress(text())
    (top / "base.rdb").write_bytes(record)
    (top / "base.rdx").write_bytes(zlib.compress(b"base 0 %d" % len(record)))


def read_r_database(top: Path) -> bytes:
    _, start, length = zlib.decompress((top / "base.rdx").read_bytes()).split()
    data = (top / "base.rdb").read_bytes()[int(start) : int(start) + int(length)]
    return zlib.decompress(data[4:])


def read_sbcl(top: Path) -> bytes:
    return (top / "sbcl.core").read_bytes()[32768:].decode("utf-32-le").encode()


def read_sbcl_compressed(top: Path) -> bytes:
    return bytes(zstd.decompress((top / "sbcl.core").read_bytes()[32768:]))


def emacs(top: Path) -> None:
    (top / "a.c").write_text(f'const char *where = "{OLD_PATH}/share/emacs/a.el";')
    name = hashlib.md5(f"{OLD_PATH}/share/emacs/a.el".encode()).hexdigest()[:8]
    run("gcc", "-shared", "-fPIC", top / "a.c", "-o", top / f"a-{name}-0000.eln")
    (top / "a.c").unlink()


def read_emacs(top: Path) -> bytes:
    [found] = top.glob("*.eln")
    data = found.read_bytes()
    if NEW in data:
        name = b"/nix/store/" + NEW + b"/share/emacs/a.el"
        if hashlib.md5(name).hexdigest()[:8] not in found.name:
            raise StaleError
    return data


def python(mode: py_compile.PycInvalidationMode) -> Callable[[Path], None]:
    def make(top: Path) -> None:
        source = top / "module.py"
        source.write_bytes(SOURCE)
        os.utime(source, (1, 1))
        target = top / "__pycache__" / f"module.{TAG}.pyc"
        py_compile.compile(str(source), str(target), dfile="module.py", invalidation_mode=mode)

    return make


def read_python(top: Path) -> bytes:
    """Python says in its own words whether it took the compiled file."""
    copy = top.with_name(f"{top.name}-out")
    shutil.copytree(top, copy)
    code = "import sys, module; print(module.__cached__)"
    shown = run(sys.executable, "-c", code, directory=copy)
    pyc = (top / "__pycache__" / f"module.{TAG}.pyc").read_bytes()
    source = (top / "module.py").read_bytes()
    if pyc[4] & 1 and pyc[8:16] != importlib.util.source_hash(source):
        raise StaleError
    if not pyc[4] & 1:
        assert pyc[8:16] == struct.pack("<II", 1, len(source))
    return shown + pyc


def record(top: Path) -> None:
    (top / "a.py").write_bytes(SOURCE)
    (top / "a-1.dist-info").mkdir()
    digest = base64.urlsafe_b64encode(hashlib.sha256(SOURCE).digest()).rstrip(b"=")
    line = b"a.py,sha256=%b,%d\n" % (digest, len(SOURCE))
    (top / "a-1.dist-info" / "RECORD").write_bytes(line + b"a-1.dist-info/RECORD,,\n")


def read_record(top: Path) -> bytes:
    source = (top / "a.py").read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(source).digest()).rstrip(b"=")
    assert digest in (top / "a-1.dist-info" / "RECORD").read_bytes()
    return source


def npm(top: Path) -> None:
    (top / "a.tgz").write_bytes(run("gzip", "-9n", data=text()))
    digest = base64.b64encode(hashlib.sha512((top / "a.tgz").read_bytes()).digest()).decode()
    package = {"resolved": f"file:{OLD_PATH}/a.tgz", "integrity": f"sha512-{digest}"}
    (top / "package-lock.json").write_text(json.dumps({"packages": {"a": package}}))


def read_npm(top: Path) -> bytes:
    shown = (top / "package-lock.json").read_bytes()
    digest = base64.b64encode(hashlib.sha512((top / "a.tgz").read_bytes()).digest())
    if digest not in shown:
        raise StaleError
    return shown + run("gzip", "-d", data=(top / "a.tgz").read_bytes())


CRATE = f'pub const WHERE: &str = "{OLD_PATH}";\n'


def cargo(top: Path) -> None:
    (top / "src").mkdir()
    (top / "src" / "lib.rs").write_text(CRATE)
    (top / "Cargo.toml").write_text('[package]\nname = "a"\nversion = "1.0.0"\nedition = "2021"\n')
    sums = {
        name: hashlib.sha256((top / name).read_bytes()).hexdigest()
        for name in ("Cargo.toml", "src/lib.rs")
    }
    (top / ".cargo-checksum.json").write_text(json.dumps({"files": sums, "package": None}))


def read_cargo(top: Path) -> bytes:
    work = top.with_name(f"{top.name}-out")
    shutil.copytree(top, work / "vendor" / "a")
    (work / "src").mkdir()
    (work / "src" / "main.rs").write_text('fn main() { println!("{}", a::WHERE); }')
    (work / "Cargo.toml").write_text(
        '[package]\nname = "b"\nversion = "1.0.0"\nedition = "2021"\n[dependencies]\na = "1"\n'
    )
    settings = '[source.crates-io]\nreplace-with = "v"\n[source.v]\ndirectory = "vendor"\n'
    (work / ".cargo").mkdir()
    (work / ".cargo" / "config.toml").write_text(settings)
    return run("cargo", "run", "-q", "--offline", directory=work, environment=_rust())


def _rust() -> dict[str, str]:
    """Where cargo finds itself."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def rust(top: Path) -> None:
    code = top.with_name("a.rs")
    code.write_text(CRATE)
    options = ["--crate-type=rlib", "--crate-name=a", "-o", str(top / "liba.rlib")]
    run("rustc", *options, code, environment=_rust())


def read_rust(top: Path) -> bytes:
    work = top.with_name(f"{top.name}-out")
    work.mkdir()
    (work / "main.rs").write_text('fn main() { println!("{}", a::WHERE); }')
    extern = f"a={top / 'liba.rlib'}"
    run("rustc", "--extern", extern, "-o", work / "main", work / "main.rs", environment=_rust())
    shown = run(work / "main")
    if NEW in shown:  # the hash of its interface cannot be made anew
        raise StaleError
    return shown


def go(top: Path) -> None:
    export = b'go object linux amd64 go1.22 X:none\nbuild id "abc"\n' + WHERE + b"\n"
    head = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (b"__.PKGDEF", 0, 0, 0, 0o644, len(export))
    (top / "a.a").write_bytes(b"!<arch>\n" + head + export + b"\n" * (len(export) % 2))


def read_go(top: Path) -> bytes:
    shown = run("ar", "p", top / "a.a")
    if NEW in shown:
        raise StaleError
    return shown


def packlist(top: Path) -> None:
    (top / ".packlist").write_bytes(WHERE + b"/lib/perl5/A.pm type=file\n")


def checksums(*spellings: str) -> Callable[[Path], None]:
    def make(top: Path) -> None:
        (top / "config").write_bytes(text())
        (top / "MANIFEST").write_text(
            "".join(f"{_spelled(s, text())}  config\n" for s in spellings)
        )

    return make


def _spelled(spelling: str, data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    if spelling == "hex":
        return digest.hex()
    if spelling == "nix32":
        return nix32_encode(digest)
    return "sha256-" + base64.b64encode(digest).decode()


def read_checksums(top: Path) -> bytes:
    data = (top / "config").read_bytes()
    listed = (top / "MANIFEST").read_text()
    for spelling in ("hex", "nix32", "sri"):
        assert _spelled(spelling, data) in listed
    return data


SPELLINGS = ("hex", "nix32", "sri")
MODES = py_compile.PycInvalidationMode
SAMPLES = [
    Sample(
        hazard=CHECKSUMS,
        name="a list of SHA-256 in hex, nix32 and SRI",
        judge="the sum of the file",
        make=checksums(*SPELLINGS),
        read=read_checksums,
    ),
    Sample(
        hazard=CHECKSUMS,
        name="the same with `--fixup checksums`",
        judge="the sum of the file",
        make=checksums(*SPELLINGS),
        read=read_checksums,
        switches=("checksums",),
    ),
    Sample(
        hazard=SCHEME,
        name="a compiled module of Racket and its dependencies (made by hand)",
        judge="the SHA-1 in `.dep`; zlib",
        make=racket,
        read=read_racket,
    ),
    Sample(
        hazard=SCHEME,
        name="a boot file of Chez with LZ4 (made by hand)",
        judge="`lz4 -d`",
        make=chez,
        read=lambda top: run("lz4", "-dc", data=(top / "petite.boot").read_bytes()[8:]),
        needs=("lz4",),
    ),
    Sample(
        hazard=BEAM,
        name="a module with literals (made by hand)",
        judge="zlib, and the lengths",
        make=written("a.beam", beam({b"AtU8": b"\0\0\0\1\1a", b"LitT": text()})),
        read=read_beam,
    ),
    Sample(
        hazard=SBCL,
        name="a core (made by hand)",
        judge="UTF-32",
        make=written("sbcl.core", sbcl_core(WHERE.decode().encode("utf-32-le"))),
        read=read_sbcl,
    ),
    Sample(
        hazard=SBCL,
        name="a compressed core (made by hand)",
        judge="zstd",
        make=written("sbcl.core", sbcl_core(zstd.compress(text()), compressed=True)),
        read=read_sbcl_compressed,
    ),
    Sample(
        hazard=R,
        name="a database of R (made by hand)",
        judge="zlib",
        make=r_database,
        read=read_r_database,
    ),
    Sample(
        hazard=EMACS,
        name="a library of Emacs Lisp (made by gcc)",
        judge="the hash of the path in its name",
        make=emacs,
        read=read_emacs,
        needs=("gcc",),
    ),
    Sample(
        hazard=PYC_TIME,
        name="a module and its compiled file",
        judge="Python imports it; time and size",
        make=python(MODES.TIMESTAMP),
        read=read_python,
    ),
    Sample(
        hazard=PYC_HASH,
        name="a module and its compiled file",
        judge="Python imports it; the hash of the source",
        make=python(MODES.CHECKED_HASH),
        read=read_python,
    ),
    Sample(
        hazard=RECORD,
        name="an installed module",
        judge="its sum",
        make=record,
        read=read_record,
    ),
    Sample(
        hazard=PACKAGES,
        name="a `.packlist`",
        judge="it is text",
        make=packlist,
        read=file(".packlist"),
    ),
    Sample(
        hazard=PACKAGES,
        name="a `package-lock.json` with the integrity of a package in the store",
        judge="the SHA-512 of the package",
        make=npm,
        read=read_npm,
        needs=("gzip",),
    ),
    Sample(
        hazard=PACKAGES,
        name="a vendored package of Rust",
        judge="`cargo run`",
        make=cargo,
        read=read_cargo,
        needs=("cargo",),
    ),
    Sample(
        hazard=GO,
        name="an archive (made by hand)",
        judge="`ar p`; its build id belongs to other contents",
        make=go,
        read=read_go,
        needs=("ar",),
    ),
    Sample(
        hazard=ABI,
        name="a library of Rust",
        judge="`rustc` links with it, and the program is run; its hash belongs to other contents",
        make=rust,
        read=read_rust,
        needs=("rustc",),
    ),
    Sample(
        hazard=ABI,
        name="an interface of OCaml, compressed (made by hand)",
        judge="zstd",
        make=written("a.cmi", b"Caml1999I035\x84\x95\xa6\xbd\x08\1\1\1" + zstd.compress(text())),
        read=lambda top: bytes(zstd.decompress((top / "a.cmi").read_bytes()[20:])),
    ),
    Sample(
        hazard=ABI,
        name="a package cache of GHC (made by hand)",
        judge="the hashes in it are of other contents",
        make=written("package.cache", b"\0ghcpkg\0" + WHERE),
        read=lambda top: _stale((top / "package.cache").read_bytes()),
    ),
]

"""Programs and libraries: what compilers, linkers and signers make of a reference."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.fidelity.hazard import (
    NEW,
    OLD_PATH,
    OLD_TREE,
    WHERE,
    Sample,
    StaleError,
    noise,
    run,
    written,
)
from tests.fixups.test_macho import BODY, signed, wrong_pages

MACH_O = "Mach-O (darwin)"
SIGNED = "kernel modules, PE/UKI, IMA, fs-verity, libcamera-style `.sign`"
DEBUGLINK = ".gnu_debuglink"
BUILD_ID = "ELF build-id"
SECTIONS = "SHF_COMPRESSED debug sections"
FRAGMENTS = "strings split by the compiler (movabs immediates, SSE constants)"
COPIES = "static linking and vendored copies of the vulnerable code"


def compiled(source: str, *options: str) -> Callable[[Path], None]:
    def make(top: Path) -> None:
        code = top.with_name("a.c")
        code.write_text(source)
        maps = f"-fdebug-prefix-map={top.parent}={OLD_PATH}"
        run("gcc", "-w", maps, *options, "-o", top / "a", code, directory=top.parent)

    return make


def run_it(top: Path) -> bytes:
    return run(top / "a")


PRINTING = """#include <stdio.h>
int main(void) {puts("PATH/lib");return 0;}
""".replace("PATH", OLD_PATH)
COPYING = """
#include <stdio.h>
#include <string.h>
__attribute__((noinline)) void fill(char *to) {strcpy(to, "PATH/lib");}
__attribute__((noinline)) int same(const char *as) {return memcmp(as, "PATH", sizeof "PATH" - 1);}
int main(void) {char to[200]; fill(to); puts(to); return same(to);}
""".replace("PATH", OLD_PATH)


def split(compiler: str, options: str, top: Path) -> None:
    code = top.with_name("a.c")
    code.write_text(COPYING)
    run(compiler, "-w", options, "-o", top / "a", code)


def read_mach_o(top: Path) -> bytes:
    data = (top / "program").read_bytes()
    assert wrong_pages(data) == []
    return data


def module(top: Path) -> None:
    """As scripts/sign-file of the kernel does it."""
    keys = top.with_name("keys")
    keys.mkdir()
    new_key = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=k"]
    run("openssl", *new_key, "-keyout", keys / "key", "-out", keys / "cert")
    data = b"\x7fELF" + noise(3000) + WHERE + b"\0"
    sign = ["cms", "-sign", "-binary", "-nocerts", "-noattr", "-outform", "DER", "-md", "sha256"]
    made = run("openssl", *sign, "-signer", keys / "cert", "-inkey", keys / "key", data=data)
    trailer = struct.pack(">BBBBBxxxI", 0, 0, 2, 0, 0, len(made))
    (top / "a.ko").write_bytes(data + made + trailer + b"~Module signature appended~\n")


def read_module(top: Path) -> bytes:
    data = (top / "a.ko").read_bytes().removesuffix(b"~Module signature appended~\n")
    (length,) = struct.unpack(">I", data[-4:])
    body, made = data[: -12 - length], data[-12 - length : -12]
    signature = top.with_name(f"{top.name}.der")
    content = top.with_name(f"{top.name}.bin")
    signature.write_bytes(made)
    content.write_bytes(body)
    cert = top.with_name("keys") / "cert"
    check = ["cms", "-verify", "-binary", "-inform", "DER", "-noverify", "-certfile", cert]
    return run("openssl", *check, "-in", signature, "-content", content)


def signed_beside(top: Path) -> None:
    compiled(PRINTING, "-shared", "-fPIC")(top)
    (top / "a").rename(top / "ipa.so")
    key = top.with_name("key")
    run("openssl", "genrsa", "-out", key, "2048")
    run("openssl", "rsa", "-in", key, "-pubout", "-out", top.with_name("public"))
    sign = ["dgst", "-sha256", "-sign", key, "-out", top / "ipa.so.sign"]
    run("openssl", *sign, top / "ipa.so")


def read_signed_beside(top: Path) -> bytes:
    check = ["dgst", "-sha256", "-verify", top.with_name("public")]
    run("openssl", *check, "-signature", top / "ipa.so.sign", top / "ipa.so")
    return (top / "ipa.so").read_bytes()


def debuglink(top: Path) -> None:
    compiled(PRINTING, "-g")(top)
    run("objcopy", "--only-keep-debug", top / "a", top / "a.debug")
    run("objcopy", "--strip-debug", f"--add-gnu-debuglink={top / 'a.debug'}", top / "a")


def read_debuglink(top: Path) -> bytes:
    section = top.with_name(f"{top.name}.section")
    run("objcopy", "-O", "binary", "--set-section-flags", ".gnu_debuglink=alloc",
        "--only-section=.gnu_debuglink", top / "a", section)  # fmt: skip
    assert section.read_bytes()[-4:] == struct.pack(
        "<I", zlib.crc32((top / "a.debug").read_bytes())
    )
    return run(top / "a")


def read_build_id(top: Path) -> bytes:
    shown = run(top / "a")
    kept = top.with_name("build-id")
    found = re.search(rb"Build ID: (\w+)", run("readelf", "-n", top / "a"))
    assert found is not None
    if not kept.exists():
        kept.write_bytes(found[1])
    elif found[1] == kept.read_bytes() and NEW in shown:
        raise StaleError
    return shown


def read_sections(top: Path) -> bytes:
    return run("readelf", "--debug-dump=info", top / "a")


MESSAGES = [f"the library cannot find the certificate of number {n}" for n in range(20)]
LIBRARY = "".join(f'const char *const message_{n} = "{text}";\n' for n, text in enumerate(MESSAGES))
VERSION = 'const char *const version = "OpenSSL 3.0.14 of the fourth of June";\n'


def linked_statically(top: Path) -> None:
    old = top.with_name(OLD_TREE)
    old.mkdir()
    compiled(LIBRARY + VERSION, "-shared", "-fPIC")(old)
    (old / "a").rename(old / "libssl.so")
    names = ",".join(f"message_{n}" for n in range(20))
    main = (
        f"const char *all[] = {{version,{names}}}; int main(int c) {{puts(all[c % 21]);return 0;}}"
    )
    compiled(f"#include <stdio.h>\n{LIBRARY}{VERSION}{main}")(top)
    (top / "README").write_bytes(WHERE)


def read_linked(top: Path) -> bytes:
    if MESSAGES[0].encode() in (top / "a").read_bytes() and NEW in (top / "README").read_bytes():
        raise StaleError
    return (top / "README").read_bytes()


SAMPLES = [
    Sample(
        hazard=MACH_O,
        name="a program signed ad hoc (made by hand; real ones are in the tests)",
        judge="the SHA-256 of each page against the signature",
        make=written("program", signed(BODY)),
        read=read_mach_o,
    ),
    Sample(
        hazard=SIGNED,
        name="a signed kernel module",
        judge="`openssl cms -verify`",
        make=module,
        read=read_module,
        needs=("openssl",),
    ),
    Sample(
        hazard=SIGNED,
        name="a library with its signature in a file next to it",
        judge="`openssl dgst -verify`",
        make=signed_beside,
        read=read_signed_beside,
        needs=("openssl", "gcc"),
    ),
    Sample(
        hazard=DEBUGLINK,
        name="a program and what `objcopy --only-keep-debug` took out of it",
        judge="the CRC-32 of that file",
        make=debuglink,
        read=read_debuglink,
        needs=("gcc", "objcopy"),
    ),
    Sample(
        hazard=BUILD_ID,
        name="a program",
        judge="`readelf -n`: the id belongs to other contents",
        make=compiled(PRINTING, "-Wl,--build-id"),
        read=read_build_id,
        needs=("gcc", "readelf"),
    ),
    Sample(
        hazard=SECTIONS,
        name="`gcc -g3 -gz=zlib`",
        judge="`readelf --debug-dump`",
        make=compiled(
            "".join(f"int variable_{n * n % 991}(int a) {{return a * {n};}}\n" for n in range(300))
            + PRINTING,
            "-g3",
            "-gz=zlib",
        ),
        read=read_sections,
        needs=("gcc", "readelf"),
    ),
    *(
        Sample(
            hazard=FRAGMENTS,
            name=f"`{compiler} {options}`, a copy and a comparison of a path",
            judge="what the program prints",
            make=partial(split, compiler, options),
            read=run_it,
            needs=(compiler,),
        )
        for compiler, options in (("gcc", "-O2"), ("gcc", "-O3"), ("clang", "-O2"))
    ),
    Sample(
        hazard=COPIES,
        name="a program with the library's code in it",
        judge="its messages are still there",
        make=linked_statically,
        read=read_linked,
        needs=("gcc",),
    ),
]

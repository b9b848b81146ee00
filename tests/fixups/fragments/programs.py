"""Programs whose compilers have cut store paths up."""

from __future__ import annotations

import subprocess
from pathlib import Path

OLD = "qfxj33vp13g8xmvr71kdchhrh9bck01f"
NEW = "mpcaj8a1xyzs16j4fpc1gmd77012vi1g"

BEFORE = ("/nix/store/", "file:///nix/store/", "OPENSSL=/nix/store/", "ab/nix/store/")
AFTER = ("", "/bin/sh", "/etc/ssl/certs")

_FUNCTIONS = """
NOINLINE void copy_{i}(char *to) {{ strcpy(to, "{text}"); }}
NOINLINE void move_{i}(char *to) {{ memcpy(to, "{text}", {size}); }}
NOINLINE int same_{i}(const char *as) {{ return memcmp(as, "{text}", {size}) == 0; }}
NOINLINE int begins_{i}(const char *as) {{ return strncmp(as, "{text}", {size}) == 0; }}
"""
_CALLS = """
    copy_{i}(text); puts(text);
    printf("%d%d\\n", same_{i}(text), begins_{i}(text));
    memset(text, 0, sizeof text); move_{i}(text); puts(text);
"""
_HASH_ONLY = """
NOINLINE void bare(char *to) {{ memcpy(to, "{hash}", 33); }}
NOINLINE int is_bare(const char *as) {{ return memcmp(as, "{hash}", 32) == 0; }}
"""


def source(name: str) -> str:
    """A program that copies and compares a store path of this name in many ways, and prints it."""
    texts = [f"{before}{OLD}-{name}{after}" for before in BEFORE for after in AFTER]
    numbered = [{"i": i, "text": text, "size": len(text)} for i, text in enumerate(texts)]
    return "\n".join(
        [
            "#include <stdio.h>",
            "#include <string.h>",
            "#define NOINLINE __attribute__((noinline, noclone))",
            *(_FUNCTIONS.format(**each) for each in numbered),
            _HASH_ONLY.format(hash=OLD),
            "int main(void) { char text[300];",
            *(_CALLS.format(**each) for each in numbered),
            'bare(text); puts(text); printf("%d\\n", is_bare(text)); return 0; }',
        ]
    )


def compiled(directory: Path, compiler: str, text: str) -> Path:
    """The program that a compiler with its options makes of C."""
    code, program = directory / "program.c", directory / "program"
    code.write_text(text)
    subprocess.run([*compiler.split(), "-w", "-o", program, code], check=True)
    return program


def output(program: Path) -> bytes:
    """What a program prints."""
    return subprocess.run([program], stdout=subprocess.PIPE, check=True).stdout

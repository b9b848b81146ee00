"""Fragments in what gcc and clang really make: rewritten whole or left whole, never half."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.fixups.fragments import FragmentFinder, Rewritten
from graft.kernel import Table
from tests.fixups.fragments.programs import NEW, OLD, compiled, output, source

Entries = list[tuple[bytes, bytes | None]]

COMPILERS = [
    pytest.param(line, id=line.replace(" ", "_"), marks=pytest.mark.needs(line.split()[0]))
    for line in (
        *("gcc -O1", "gcc -O2", "gcc -O3 -mavx2 -s", "gcc -O2 -mno-sse", "gcc -O2 -no-pie"),
        *("clang -O2", "clang -O3 -mavx2", "clang -O3 -mno-sse -s"),
    )
]
pytestmark = pytest.mark.slow


def _entries(name: str, new_name: str) -> Entries:
    return [(f"{OLD}-{name}".encode(), f"{NEW}-{new_name}".encode())]


def _grafted(program: Path, entries: Entries) -> tuple[Path, Rewritten]:
    data = program.read_bytes()
    rewritten = FragmentFinder(entries).rewrite(data)
    result = bytearray(Table(entries).rewrite(data)[0])
    for offset, patch in rewritten.patches:
        result[offset : offset + len(patch)] = patch
    made = program.with_name("grafted")
    made.write_bytes(result)
    made.chmod(0o755)
    return made, rewritten


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", ["zlib-1.2.13", "z"])
def test_programs_use_new_wherever_they_copy_or_compare_a_path(
    tmp_path: Path, compiler: str, name: str
) -> None:
    program = compiled(tmp_path, compiler, source(name))
    entries = _entries(name, name)
    grafted, rewritten = _grafted(program, entries)
    assert rewritten.done
    assert not rewritten.left
    assert output(grafted) == output(program).replace(OLD.encode(), NEW.encode())
    assert not FragmentFinder(entries).find(grafted.read_bytes())


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_path_of_another_name_is_all_old_or_all_new_wherever_it_is_printed(
    tmp_path: Path, compiler: str
) -> None:
    program = compiled(tmp_path, compiler, source("openssl-3.0.20"))
    grafted, rewritten = _grafted(program, _entries("openssl-3.0.20", "openssl-3.0.22"))
    news = 0
    for old, line in zip(output(program).split(b"\n"), output(grafted).split(b"\n"), strict=True):
        new = old.replace(OLD.encode(), NEW.encode()).replace(b"3.0.20", b"3.0.22")
        assert line in {old, new} or b"/nix" not in line
        news += line == new
    assert news or rewritten.left


def _copying_twice() -> str:
    lines = [
        f'NOINLINE void f{i}(char *to) {{ strcpy(to, "/nix/store/{OLD}-openssl-3.0.20/{end}"); }}'
        for i, end in enumerate(("lib", "etc/ssl"))
    ]
    return "\n".join(
        [
            "#include <stdio.h>",
            "#include <string.h>",
            "#define NOINLINE __attribute__((noinline))",
            *lines,
            "int main(void) { char t[99]; f0(t); puts(t); f1(t); puts(t); return 0; }",
        ]
    )


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_path_of_another_name_is_rewritten_with_its_name(tmp_path: Path, compiler: str) -> None:
    program = compiled(tmp_path, compiler, _copying_twice())
    grafted, rewritten = _grafted(program, _entries("openssl-3.0.20", "openssl-3.0.22"))
    assert not rewritten.left
    expected = output(program).replace(OLD.encode(), NEW.encode()).replace(b"3.0.20", b"3.0.22")
    assert output(grafted) == expected


@pytest.mark.parametrize("compiler", COMPILERS)
def test_programs_linked_from_a_grafted_object_file_use_new(tmp_path: Path, compiler: str) -> None:
    # Where its code finds its constants, an object file tells in relocations alone.
    plain = compiled(tmp_path, compiler, _copying_twice())
    expected = output(plain).replace(OLD.encode(), NEW.encode()).replace(b"3.0.20", b"3.0.22")
    before = compiled(tmp_path, f"{compiler} -c", _copying_twice())
    grafted, rewritten = _grafted(before, _entries("openssl-3.0.20", "openssl-3.0.22"))
    assert not rewritten.left
    program = tmp_path / "linked"
    subprocess.run([compiler.partition(" ")[0], "-o", program, grafted], check=True)
    assert output(program) == expected


def _half(compiler: str, tmp_path: Path) -> bytes:
    text = f"""
    #include <string.h>
    __attribute__((noinline)) void part(char *to) {{ memcpy(to, "{OLD[:16]}", 16); }}
    int main(void) {{ char text[16]; part(text); return text[0]; }}
    """
    return compiled(tmp_path, compiler, text).read_bytes()


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("options", ["-O2", "-O2 -mno-sse"])
def test_a_part_alone_is_reported_and_never_rewritten(tmp_path: Path, options: str) -> None:
    data = _half(f"gcc {options}", tmp_path)
    rewritten = FragmentFinder(_entries("z", "z")).rewrite(data)
    assert not rewritten.patches
    assert not rewritten.done
    (found,) = rewritten.left
    assert data[found.offset : found.offset + 8] == OLD[:8].encode()
    assert "the rest of the path" in found.reason


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("few", [1, 3, 7])
def test_few_characters_over_the_end_of_a_path_are_told_of(tmp_path: Path, few: int) -> None:
    # As gcc copies a path in the large code model, from where its jump tables lead to.
    end = int.from_bytes(f"{OLD[32 - few :]}-zlib-1.2"[:8].encode(), "little")
    text = f"""
    #include <stdio.h>
    __attribute__((used, aligned(32))) static const char whole[32] = "{OLD}";
    void part(char *to);
    asm(".text\\n.type part,@function\\npart:\\n"
        "lea _GLOBAL_OFFSET_TABLE_(%rip), %rdx\\nlea 1f(%rip), %rax\\njmp *%rax\\n"
        "1: movabs $whole@GOTOFF, %rax\\n"
        "movdqu (%rdx,%rax,1), %xmm0\\nmovdqu %xmm0, (%rdi)\\n"
        "movdqu 16(%rdx,%rax,1), %xmm0\\nmovdqu %xmm0, 16(%rdi)\\n"
        "movabs ${end}, %rax\\nmov %rax, {32 - few}(%rdi)\\nret\\n.size part, .-part");
    int main(void) {{ char text[64] = ""; part(text); puts(text); return 0; }}
    """
    program = compiled(tmp_path, "gcc -O2", text)
    grafted, rewritten = _grafted(program, _entries("zlib-1.2.13", "zlib-1.2.13"))
    assert [each.reason.partition(" (of")[0] for each in rewritten.left] == [
        "the rest of the path is used in a way that is not known"
    ]
    assert output(grafted) == output(program)
    assert output(program).startswith(f"{OLD}-"[:32].encode())


@pytest.mark.needs("gcc")
def test_a_constant_is_left_if_one_of_its_users_is_not_whole(tmp_path: Path) -> None:
    text = f"""
    #include <string.h>
    __attribute__((noinline)) void whole(char *to) {{ memcpy(to, "{OLD}", 32); }}
    __attribute__((noinline)) void part(char *to) {{ memcpy(to, "{OLD[:16]}", 16); }}
    int main(void) {{ char text[40]; whole(text); part(text); return text[0]; }}
    """
    program = compiled(tmp_path, "gcc -O2", text)
    entries = _entries("z", "z")
    grafted, rewritten = _grafted(program, entries)
    assert not rewritten.done
    assert rewritten.left
    assert grafted.read_bytes() == program.read_bytes()


@pytest.mark.needs("aarch64-linux-gnu-gcc")
def test_immediates_of_64_bit_arm_are_found_and_left(tmp_path: Path) -> None:
    text = f"""
    typedef unsigned long u;
    u f(int i) {{
      const union {{ char text[32]; u words[4]; }} path = {{ "{OLD[:31]}" }};
      return path.words[0] ^ path.words[1] * i;
    }}
    void _start(void) {{ f(1); }}
    """
    program = compiled(tmp_path, "aarch64-linux-gnu-gcc -O2 -nostdlib -static", text)
    data = program.read_bytes()
    rewritten = FragmentFinder(_entries("z", "z")).rewrite(data)
    assert not rewritten.patches
    assert rewritten.left


def test_files_that_are_no_elf_files_have_no_fragments() -> None:
    finder = FragmentFinder(_entries("z", "z"))
    assert not finder.find(b"#!/bin/sh\n" + OLD[:16].encode())
    assert not finder.find(b"")


@given(
    st.binary(max_size=200), st.sampled_from([1, 2]), st.sampled_from([3, 62, 183]), st.booleans()
)
def test_no_bytes_make_the_search_fail(rest: bytes, kind: int, machine: int, wide: bool) -> None:
    head = b"\x7fELF" + bytes([1 + wide, 1, 1]) + bytes(9) + bytes([kind, 0, machine, 0])
    data = head + rest + OLD[:20].encode()
    FragmentFinder(_entries("openssl-1", "openssl-2")).rewrite(data)


@pytest.mark.needs("gcc")
def test_a_search_path_whose_end_is_a_version_of_symbols_is_left_whole(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("v1.0 { global: f; local: *; };")
    (tmp_path / "f.c").write_text("int f(void) { return 1; }")
    library = tmp_path / "libf.so"
    rpath = f"-Wl,-rpath,/nix/store/{OLD}-dep-"
    for end in ("v1.0", "v1.0/lib"):
        arguments = [
            "-s",
            "-shared",
            "-fPIC",
            "-o",
            str(library),
            "f.c",
            "-Wl,--version-script=version",
        ]
        subprocess.run(["gcc", *arguments, rpath + end], cwd=tmp_path, check=True)
        shared = b"\0v1.0\0" not in library.read_bytes()
        assert shared == (end == "v1.0")
        grafted, rewritten = _grafted(library, _entries("dep-v1.0", "dep-v1.1"))
        assert (grafted.read_bytes() == library.read_bytes()) == shared
        assert [left.reason[:34] for left in rewritten.left] == (
            ["the end of it is another text, too"] if shared else []
        )
        _, same = _grafted(library, _entries("dep-v1.0", "dep-v1.0"))
        assert (same.patches, same.left) == ((), ())

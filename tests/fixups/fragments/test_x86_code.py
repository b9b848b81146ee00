"""Code of x86-64 that takes a path in ways of which a part alone is easily seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.fixups.fragments import FragmentFinder, Rewritten
from tests.fixups.fragments.programs import NEW, OLD, compiled

pytestmark = [pytest.mark.needs("gcc")]

PATH = f"/nix/store/{OLD}-dep-1.0"
END = "/lib/a-1.0/1.0"
TEXT = PATH + END
ENTRIES = [(f"{OLD}-dep-1.0".encode(), f"{NEW}-dep-1.1".encode())]
DATA = f'.section .rodata\n.balign 64\ntext: .ascii "{TEXT}\\0"\n'
LAST = "the end of it may be used once more, at an address that is not known"
UNKNOWN = "it is used in a way that is not known"


def assembled(directory: Path, code: str, data: str = DATA, *, before: str = "") -> bytes:
    """A program in which an assembler's code is a function."""
    lines = [
        *(".text", ".globl part", ".type part,@function", before, "part:", *code.split("; ")),
        *(".size part, .-part", *data.splitlines(), ".text"),
    ]
    quoted = "\n".join(
        '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"' for line in lines
    )
    main = "void part(void); int main(void) { part(); return 0; }"
    return compiled(directory, "gcc -O1 -w", f"asm({quoted});\n{main}").read_bytes()


def rewritten(data: bytes) -> tuple[bool, Rewritten]:
    """Whether any byte of the path is changed, and all that is known of it."""
    found = FragmentFinder(ENTRIES).rewrite(data)
    return any(data[at : at + len(new)] != new for at, new in found.patches), found


def reasons(found: Rewritten) -> list[str]:
    return [each.reason.partition(" (of")[0].partition(";")[0] for each in found.left]


COPY = [
    *("movdqu text(%rip), %xmm0", "movdqu %xmm0, (%rdi)"),
    *("movdqu 16+text(%rip), %xmm0", "movdqu %xmm0, 16(%rdi)"),
    *("movdqu 32+text(%rip), %xmm0", "movdqu %xmm0, 32(%rdi)"),
    *("movdqu 48+text(%rip), %xmm0", "movdqu %xmm0, 48(%rdi)"),
]
"""A copy of the text."""


def test_a_comparison_of_64_bytes_into_a_mask_register_accounts_for_all_of_them(
    tmp_path: Path,
) -> None:
    # Half of the hash part is in each constant: neither is found as a whole path.
    data = f'.section .rodata\n.balign 64\nfirst: .zero 36\n.ascii "{TEXT[:28]}"\n'
    data += f'.zero 64\nother: .ascii "{TEXT[28:]}\\0"\n'
    code = "; ".join(
        [
            *("vmovdqu64 (%rdi), %zmm0", "vpcmpeqd first(%rip), %zmm0, %k0", "kortestw %k0, %k0"),
            *("vmovdqu 64(%rdi), %ymm0", "vpxor other(%rip), %ymm0, %ymm0", "ret"),
        ]
    )
    changed, found = rewritten(assembled(tmp_path, code, data))
    assert changed
    assert found.done
    assert not found.left


def test_a_last_load_behind_a_lost_address_is_told_of(tmp_path: Path) -> None:
    # As gcc 16 compares with a text of 64 bytes and more, in a function with a table of jumps.
    longer = TEXT + "0" * (68 - len(TEXT))
    data = f'.section .rodata\n.balign 64\ntext: .ascii "{longer[:64]}"\n'
    data += f'last: .ascii "{longer[43:59]}"\n'
    code = "; ".join(
        [
            *("vmovdqu64 (%rdi), %zmm0", "vpcmpeqd text(%rip), %zmm0, %k0", "kortestw %k0, %k0"),
            *("jae 1f", "vmovdqa last(%rip), %xmm0", "vpxor 43(%rdi), %xmm0, %xmm0"),
            *("vptest %xmm0, %xmm0", "sete %al", "ret", "1: jmp *%rsi"),
        ]
    )
    changed, found = rewritten(assembled(tmp_path, code, data))
    assert not changed
    assert reasons(found) == [LAST]


@pytest.mark.parametrize("more", ["", "vmovdqu8 {}, %zmm1{{%k1}}{{z}}; vmovdqu64 %zmm1, (%rsi)"])
def test_a_load_under_a_mask_is_a_use_that_is_not_known(tmp_path: Path, more: str) -> None:
    code = "; ".join(["lea text(%rip), %rax", *COPY, more.format("(%rax)") or "nop", "ret"])
    changed, found = rewritten(assembled(tmp_path, code))
    assert changed != bool(more)
    assert reasons(found) == ([UNKNOWN] if more else [])


@pytest.mark.parametrize("made", ["add $1, %rax", "lea 1(%rax), %rax", "sub $1, %rax"])
def test_a_constant_made_of_a_part_of_a_path_is_a_use_that_is_not_known(
    tmp_path: Path, made: str
) -> None:
    words = [TEXT[at : at + 8].encode() for at in range(0, 56, 8)]
    stores = [
        line
        for at, word in enumerate(words)
        for line in (
            f"movabs $0x{int.from_bytes(word, 'little'):x}, %rax",
            f"mov %rax, {8 * at}(%rdi)",
        )
    ]
    copied, found = rewritten(assembled(tmp_path, "; ".join([*stores, "ret"]), ""))
    assert found.done
    assert not found.left
    again = [*stores[:4], made, "mov %rax, 64(%rdi)", *stores[4:], "ret"]
    changed, found = rewritten(assembled(tmp_path, "; ".join(again), ""))
    assert copied
    assert not changed
    assert reasons(found) == [UNKNOWN]


def test_what_follows_an_instruction_that_is_not_known_is_not_taken_for_nothing(
    tmp_path: Path,
) -> None:
    # The disassembler does not know it; behind it a part of the constant is used alone.
    unknown = "vmovw (%rdi), %xmm5"
    code = "; ".join(
        [*COPY, unknown, *(each.replace("(%rdi)", "(%rsi)") for each in COPY[2:4]), "ret"]
    )
    changed, found = rewritten(assembled(tmp_path, code))
    assert not changed
    assert reasons(found) == [UNKNOWN]


@pytest.mark.parametrize("call", ["call puts@plt", "jmp puts@plt", "push %rdi", "mov %rdi, (%rsi)"])
def test_an_address_that_is_given_away_is_one_though_bytes_are_loaded_from_it_as_well(
    tmp_path: Path, call: str
) -> None:
    # The path's end is a text of its own: it begins at the name.
    code = f"lea 44+text(%rip), %rdi; mov 44+text(%rip), %al; mov %al, (%rsi); {call}; ret"
    changed, found = rewritten(assembled(tmp_path, code))
    assert not changed
    assert reasons(found) == ["the end of it is another text, too"]

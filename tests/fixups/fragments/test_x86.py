"""Operands of x86 instructions, as binutils' assembler encodes them."""

from __future__ import annotations

import pytest

from graft.fixups.fragments import x86

VALUE = b"\x71\x66\x78\x6a"


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("48b8 7166786a33337670", 8),  # movabs $..., %rax
        ("49bf 7166786a33337670", 8),  # movabs $..., %r15
        ("b8 7166786a", 4),  # mov $..., %eax
        ("41b9 7166786a", 4),  # mov $..., %r9d
        ("c707 7166786a", 4),  # movl $..., (%rdi)
        ("c74740 7166786a", 4),  # movl $..., 0x40(%rdi)
        ("c7442440 7166786a", 4),  # movl $..., 0x40(%rsp)
        ("c78700010000 7166786a", 4),  # movl $..., 0x100(%rdi)
        ("c705abcd0000 7166786a", 4),  # movl $..., 0xcdab(%rip)
        ("813f 7166786a", 4),  # cmpl $..., (%rdi)
        ("3d 7166786a", 4),  # cmp $..., %eax
        ("c60771", 1),  # movb $..., (%rdi)
        ("807f0871", 1),  # cmpb $..., 8(%rdi)
        ("0f1f00 7166786a", 0),  # after nopl (%rax)
    ],
)
def test_an_immediate_is_told_by_the_opcode_before_it(code: str, size: int) -> None:
    data = bytes.fromhex(code.replace(" ", ""))
    at = data.index(0x71)
    assert x86.immediate_size(bytes(9) + data, 9 + at) == size


@pytest.mark.parametrize(
    ("code", "size"),
    [
        ("660f6f05", 16),  # movdqa
        ("f30f6f05", 16),  # movdqu
        ("0f2805", 16),  # movaps
        ("0f1005", 16),  # movups
        ("660f7405", 16),  # pcmpeqb
        ("f30f7e05", 8),  # movq
        ("f20f1005", 8),  # movsd
        ("f30f1005", 4),  # movss
        ("660f1605", 8),  # movhpd
        ("488b05", 8),  # mov, %rax
        ("8b05", 4),  # mov, %eax
        ("c5f96f05", 16),  # vmovdqa, xmm
        ("c5fd6f05", 32),  # vmovdqa, ymm
        ("c5fc1005", 32),  # vmovups, ymm
        ("c5fa7e05", 8),  # vmovq
        ("62f1fd486f05", 64),  # vmovdqa64, zmm
        ("488d05", 0),  # lea
    ],
)
def test_the_size_of_an_operand_is_that_of_its_instruction(code: str, size: int) -> None:
    data = b"\x90" * 6 + bytes.fromhex(code)
    assert x86.operand_size(data, len(data) - 1) == size


def test_an_operand_at_a_distance_is_counted_from_the_next_instruction() -> None:
    code = bytes.fromhex("90660f6f05180e0000 c3".replace(" ", ""))  # movdqa 0xe18(%rip), %xmm0
    assert (4, 0x1000 + 9 + 0xE18) in list(x86.relative_operands(code, 0, len(code), 0x1000))


@pytest.mark.parametrize("wanted", [(0x1E00, 0x1E30), (0x1E21, 0x1E22)])
def test_only_operands_in_the_ranges_asked_for_are_found(wanted: tuple[int, int]) -> None:
    code = bytes(7) + bytes.fromhex("660f6f05180e0000") + bytes(7)
    (found,) = x86.operands_within(code, 7, len(code), 0x1001, [wanted])
    assert found == (10, 0x1E21)
    assert not list(x86.operands_within(code, 7, len(code), 0x1001, [(0x3000, 0x3010)]))

"""Debugging information that the compiler compressed: rewritten where it stands, read by tools."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from graft.fixups import registered
from graft.kernel import Table
from tests.fixups.samples import OLD

pytestmark = [pytest.mark.slow, pytest.mark.needs("gcc", "readelf", "objcopy")]


REGISTRY = registered()

# As compressible as OLD: a section that becomes a byte longer may have no room for it.
NEW = OLD[31::-1] + b"-openssl-3.0.15"
TABLE = Table([(OLD, NEW)])


def hidden(data: bytes) -> set[str]:
    places, _ = REGISTRY.references(data, b"program", TABLE)
    return {place.container[0] for place in places if place.container}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sections") / "a.c"
    names = "".join(f"int variable_{n * n % 991}(int a) {{return a * {n};}}\n" for n in range(300))
    where = f'"/nix/store/{OLD.decode()}"'
    macro = f"#define WHERE {where}\n"
    file.write_text(f"{macro}{names}const char *where = WHERE;int main(void) {{return 0;}}\n")
    return file


def program(source: Path, *options: str) -> bytes:
    target = source.with_name("program")
    maps = f"-fdebug-prefix-map={source.parent}=/nix/store/{OLD.decode()}/src"
    command = ["gcc", "-g3", maps, *options, "-o", str(target), str(source)]
    subprocess.run(command, check=True, cwd=source.parent)
    return target.read_bytes()


def names(data: bytes, tmp_path: Path) -> str:
    """What the compiler says of its directories, as readelf shows it."""
    (tmp_path / "shown").write_bytes(data)
    command = ["readelf", "--debug-dump=info", str(tmp_path / "shown")]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("form", ["-gz=zlib", "-m32"])
def test_a_compressed_section_is_rewritten_and_read(
    source: Path, tmp_path: Path, form: str
) -> None:
    if form == "-m32":
        old = tmp_path / "small"
        (tmp_path / "big").write_bytes(program(source))
        command = ["objcopy", "-O", "elf32-x86-64", "--compress-debug-sections=zlib"]
        subprocess.run([*command, tmp_path / "big", old], check=True)
        data = old.read_bytes()
    else:
        data = program(source, form)
    assert any(re.fullmatch(r"elf:\.debug_(line_)?str", step) for step in hidden(data))
    new, outcomes = REGISTRY.rewrite(data, b"program", TABLE)
    assert [outcome.outcome for outcome in outcomes] == ["noted", "rewritten"]
    assert outcomes[0].reason == "its build id is still the original's"
    assert len(new) == len(data)
    assert hidden(new) == set()
    before, after = names(data, tmp_path), names(new, tmp_path)
    assert OLD.decode() in before
    assert after == before.replace(OLD.decode(), NEW.decode())
    subprocess.run(["objcopy", "--decompress-debug-sections", tmp_path / "shown"], check=True)


def test_a_kernel_module_has_such_sections_too(source: Path) -> None:
    data = program(source, "-gz=zlib")
    new, [outcome] = REGISTRY.rewrite(data, b"a.ko", TABLE)
    assert (outcome.fixup, outcome.outcome) == ("kernel-module", "rewritten")
    assert new == REGISTRY.rewrite(data, b"a", TABLE)[0]
    signed = data + b"~Module signature appended~\n"
    assert REGISTRY.rewrite(signed, b"a.ko", TABLE)[0] is signed


def test_a_section_of_another_compressor_is_left_as_it_is(source: Path) -> None:
    data = program(source, "-gz=none")
    plain, outcomes = REGISTRY.rewrite(data, b"program", TABLE)
    assert NEW in plain
    assert [outcome.reason for outcome in outcomes] == ["its build id is still the original's"]
    file = source.with_name("zstd")
    file.write_bytes(data)
    done = subprocess.run(
        ["objcopy", "--compress-debug-sections=zstd", file], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("this objcopy has no zstd")
    data = file.read_bytes()
    new, outcomes = REGISTRY.rewrite(data, b"program", TABLE)
    assert new == data.replace(OLD, NEW)
    *longer, build_id = [outcome.reason for outcome in outcomes]
    assert longer
    for reason in longer:
        assert reason is not None
        assert reason.endswith("stays: it would become longer")
    assert build_id == "its build id is still the original's"
    assert hidden(new) == hidden(data) != set()


def test_what_is_no_program_has_none(source: Path) -> None:
    for data in (b"\x7fELF", b"\x7fELF\2\1" + bytes(10), b"\x7fELF\2\1" + b"\xff" * 90):
        new, _ = REGISTRY.rewrite(data, b"program", TABLE)
        assert new is data
    cut = program(source, "-gz=zlib")[:-2000]
    new, [outcome, _] = REGISTRY.rewrite(cut, b"program", TABLE)
    assert new == cut.replace(OLD, NEW)
    assert outcome.outcome == "noted"

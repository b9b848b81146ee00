"""A graft does programs no harm: no text changes but OLD's, and a file that lies is no accident."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from graft.fixups import registered
from graft.fixups.fragments import FragmentFinder
from graft.kernel import Table
from tests.fixups.fragments.programs import NEW, OLD, compiled, output

pytestmark = [pytest.mark.slow, pytest.mark.needs("gcc")]

ENTRIES = [(f"{OLD}-dep-1.0".encode(), f"{NEW}-dep-1.1".encode())]
TABLE = Table(ENTRIES)
FINDER = FragmentFinder(ENTRIES)
PATH = f"/nix/store/{OLD}-dep-1.0"


def grafted(file: Path) -> tuple[Path, list[str]]:
    """The file as a graft makes it, and the reasons it tells."""
    new, outcomes = registered().rewrite(
        file.read_bytes(), file.name.encode(), TABLE, fragments=FINDER
    )
    made = file.with_name(f"grafted-{file.name}")
    made.write_bytes(new)
    made.chmod(0o755)
    return made, [each.reason or "" for each in outcomes]


def program(directory: Path, body: str, *, before: str = "", options: str = "-O2") -> Path:
    text = (
        f"#include <stdio.h>\n#include <string.h>\n{before}\nint main(void) {{ {body} return 0; }}"
    )
    return compiled(directory, f"gcc {options}", text)


@pytest.mark.parametrize("tail", ["1.0", "dep-1.0", "-1.0", ".0"])
def test_a_text_that_shares_its_tail_with_a_path_prints_the_same(tmp_path: Path, tail: str) -> None:
    made = program(tmp_path, f'puts("{PATH}"); puts("{tail}");', options="-Os -Wl,-O2")
    assert made.read_bytes().count(b"1.0\0") == 1  # the linker keeps it once
    new, _ = grafted(made)
    path, other = output(new).decode().splitlines()
    assert other == tail
    assert path in {PATH, f"/nix/store/{NEW}-dep-1.1"}
    if path == PATH:
        assert OLD.encode() in new.read_bytes()  # so that the proof finds it


@pytest.mark.parametrize("end", ["", "\\n"])
def test_a_text_that_is_the_last_letters_of_a_hash_part_prints_the_same(
    tmp_path: Path, end: str
) -> None:
    # The name is the same: no other byte but those of the hash part changes.
    text = OLD[-2:] + end
    body = f'fputs("{OLD}{end}", stdout); fputs("{text}", stdout);'
    made = program(tmp_path, body, options="-Os -fno-builtin -Wl,-O2")
    assert made.read_bytes().count(text.replace("\\n", "\n").encode() + b"\0") == 1
    entries = [(f"{OLD}-dep-1.0".encode(), f"{NEW[:-1]}{OLD[0]}-dep-1.0".encode())]
    new, _ = registered().rewrite(
        made.read_bytes(), b"program", Table(entries), fragments=FragmentFinder(entries)
    )
    made.write_bytes(new)
    assert output(made).decode() == (OLD + end + text).replace("\\n", "\n")
    assert OLD.encode() in new


def test_constants_side_by_side_are_no_path_of_another_function(tmp_path: Path) -> None:
    # Two texts begin alike, and only one is OLD's path: they share constants of 16 bytes.
    other = f"/nix/store/{OLD[:21]}another-name-of-it"
    before = "\n".join(
        f'__attribute__((noinline)) void f{index}(char *to) {{ strcpy(to, "{text}"); }}'
        for index, text in enumerate((PATH, other))
    )
    body = "char a[200]; f0(a); puts(a); f1(a); puts(a);"
    made = program(tmp_path, body, before=before)
    new, reasons = grafted(made)
    path, text = output(new).decode().splitlines()
    assert text == other
    assert path in {PATH, f"/nix/store/{NEW}-dep-1.1"}
    if path == PATH:
        left = FragmentFinder([(OLD.encode(), None)]).find(new.read_bytes())
        assert left or OLD.encode() in new.read_bytes()
        assert any("left alone" in reason for reason in reasons)


def test_a_symbol_that_holds_a_hash_part_is_still_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "f.c").write_text(f'const char *f_{OLD}(void) {{ return "{PATH}"; }}')
    library = tmp_path / "libf.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "f.c"], check=True)
    new, reasons = grafted(library)
    assert any("names of symbols" in reason for reason in reasons)
    new.replace(library)
    before = f"const char *f_{OLD}(void);"
    options = f"-O2 -L{tmp_path} -Wl,-rpath,{tmp_path} -Wl,--no-as-needed -lf"
    (tmp_path / "main").mkdir()
    made = program(tmp_path / "main", f"puts(f_{OLD}());", before=before, options=f"-O2 {options}")
    assert output(made).decode().strip() == f"/nix/store/{NEW}-dep-1.1"


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    before = f'__attribute__((noinline)) void f(char *to) {{ strcpy(to, "{PATH}/bin"); }}'
    body = f'char a[200]; f(a); puts(a); puts("{PATH}");'
    return program(tmp_path_factory.mktemp("victim"), body, before=before).read_bytes()


def _only_old_has_changed(old: bytes, new: bytes) -> bool:
    """Whether all changed bytes are the hash part's or the name's."""
    allowed = set(f"{OLD}{NEW}-dep-1.01".encode())
    return len(old) == len(new) and all(
        one == two or (one in allowed and two in allowed) for one, two in zip(old, new, strict=True)
    )


def test_a_cut_program_is_changed_nowhere_but_in_its_paths(victim: bytes) -> None:
    for size in sorted({*range(0, 1200, 13), *range(1200, len(victim), 331)}):
        cut = victim[:size]
        new, _ = registered().rewrite(cut, b"program", TABLE, fragments=FINDER)
        assert _only_old_has_changed(cut, new), size


@pytest.mark.parametrize("seed", range(150))
def test_a_program_whose_headers_lie_is_changed_nowhere_but_in_its_paths(
    victim: bytes, seed: int
) -> None:
    choice = random.Random(seed)
    lying = bytearray(victim)
    sections = int.from_bytes(victim[40:48], "little")
    places = [*range(16, 64), *range(64, 600), *range(sections, len(victim))]
    for _ in range(choice.choice((1, 2, 8))):
        at = choice.choice(places)
        lying[at : at + 8] = choice.choice(
            (b"\xff" * 8, bytes(8), (len(victim) - 1).to_bytes(8, "little"), choice.randbytes(8))
        )[: min(8, len(lying) - at)]
    new, _ = registered().rewrite(bytes(lying), b"program", TABLE, fragments=FINDER)
    assert _only_old_has_changed(bytes(lying), new)

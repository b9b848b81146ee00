"""Hash parts spelled otherwise: found wherever they stand and break, once, and nothing else."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import random
import string
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from graft.formats.hashing import NIX32_ALPHABET
from graft.formats.store_path import StorePath
from graft.kernel import Table
from graft.kernel.place import Site
from graft.objects.search import DeepSearch
from graft.objects.spellings import FORMS, SpellingFinder

OTHER = "mpcaj8a1xyzs16j4fpc1gmd77012vi1g"
HASH = "qfxj33vp13g8xmvr71kdchhrh9bck01f"
ROUNDS = 8

Spell = Callable[[bytes], list[str]]
"""A spelling in pieces between which it may break."""


def each(form: str) -> Spell:
    return lambda text: [form.format(byte) for byte in text]


def characters(spell: Callable[[bytes], bytes]) -> Spell:
    return lambda text: list(spell(text).decode())


def words(digits: str) -> list[str]:
    return [digits[at : at + 4] + " " for at in range(0, len(digits), 4)]


BROKEN: dict[str, tuple[str, Spell]] = {
    "plain": ("broken", characters(bytes)),
    "capitals": ("capitals", characters(bytes.upper)),
    "base64": ("base64", characters(base64.b64encode)),
    "url-base64": ("base64", characters(base64.urlsafe_b64encode)),
    "base32": ("base32", characters(base64.b32encode)),
    "base32hex": ("base32hex", characters(base64.b32hexencode)),
    "bits": ("bits", each("{:08b}")),
    "bold": ("overstruck", lambda text: [f"{chr(byte)}\b{chr(byte)}" for byte in text]),
    "underlined": ("overstruck", lambda text: [f"_\b{chr(byte)}" for byte in text]),
    "hex": ("hex", each("{:02x}")),
    "upper-hex": ("hex", each("{:02X}")),
    "hex-in-words": ("hex", lambda text: words(text.hex())),
    "hex-with-colons": ("hex", each("{:02x}:")),
    "percent": ("percent", each("%{:02x}")),
    "upper-percent": ("percent", each("%{:02X}")),
    "quoted-printable": ("quoted-printable", each("={:02X}")),
    "c": ("hex-escape", each("\\x{:02x}")),
    "c-in-c": ("hex-escape", each("\\\\x{:02x}")),
    "json": ("json", each("\\u{:04x}")),
    "rust": ("json", each("\\u{{{:x}}}")),
    "octal": ("octal", each("\\{:03o}")),
    "lua": ("decimal-escape", each("\\{:03d}")),
    "references": ("character-reference", each("&#{:d};")),
    "hex-references": ("character-reference", each("&#x{:x};")),
}
WHOLE: dict[str, tuple[str, Spell]] = {
    "reversed": ("reversed", characters(lambda text: text[::-1])),
    "base85": ("base85", characters(base64.b85encode)),
    "ascii85": ("ascii85", characters(base64.a85encode)),
    "double-base64": ("base64", characters(lambda it: base64.b64encode(base64.b64encode(it)))),
    "utf-16-in-base64": (
        "base64",
        characters(lambda text: base64.b64encode(text.decode("latin-1").encode("utf-16-le"))),
    ),
}
ARRAYS: dict[str, tuple[str, Spell]] = {
    "c-array": ("hex-bytes", each("0x{:02x}, ")),
    "upper-c-array": ("hex-bytes", each("0x{:02X},")),
    "decimal-array": ("decimal-bytes", each("{:d}, ")),
    "narrow-decimal-array": ("decimal-bytes", each("{:d},")),
    "character-array": ("characters", lambda text: [f"'{chr(byte)}', " for byte in text]),
    "calls": ("character-calls", each("chr({:d})+")),
    "list-of-strings": ("characters", lambda text: [f'"{chr(byte)}",' for byte in text]),
}
JOINS = (
    *("\n", "\r\n", "\n    ", "\r\n ", "\n# ", "\n// ", "\n * ", "\n> ", "\\\n", "=\n", "=\r\n"),
    *('" "', '"\n  "', '" +\n   "', "' . '", '",\n  "', '\\n"\n"', "\\n", "\\n\\\n", '" \\\n"'),
)


def chances(salt: str) -> Iterator[tuple[random.Random, str, str]]:
    """Random choices, a text to stand before a path, and a hash part; the same in every run."""
    chance = random.Random(salt)
    for _ in range(ROUNDS):
        before = "".join(chance.choices(string.ascii_letters + " =-_.:", k=chance.randrange(80)))
        yield chance, before, "".join(chance.choices(NIX32_ALPHABET, k=32))


def path_of(before: str, hash_part: str) -> bytes:
    return f"{before}/nix/store/{hash_part}-openssl-3.0.20/lib and more of it".encode()


def found(text: str, hash_part: str) -> list[tuple[int, str]]:
    finder = SpellingFinder([OTHER.encode(), hash_part.encode()])
    return [(each.index, each.encoding) for each in finder.find(text.encode())]


def wrapped(pieces: list[str], columns: int, join: str) -> str:
    """The pieces in lines of so many columns, at least of one piece each."""
    lines = [""]
    for piece in pieces:
        if len(lines[-1]) + len(piece) > columns:
            lines.append("")
        lines[-1] += piece
    return join.join(lines)


@pytest.mark.parametrize("spelling", [*BROKEN, *WHOLE, *ARRAYS])
def test_a_path_is_found_once_in_every_spelling_after_anything(spelling: str) -> None:
    encoding, spell = {**BROKEN, **WHOLE, **ARRAYS}[spelling]
    for _, before, hash_part in chances(spelling):
        text = "".join(spell(path_of(before, hash_part)))
        expected = [] if spelling == "plain" else [(1, encoding)]
        assert found(f"a line\n{text}\nand another\n", hash_part) == expected


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("spelling", BROKEN)
def test_a_path_is_found_once_over_the_breaks_of_a_text(spelling: str, join: str) -> None:
    encoding, spell = BROKEN[spelling]
    for chance, before, hash_part in chances(spelling + join):
        pieces = spell(path_of(before, hash_part))
        text = wrapped(pieces, chance.randrange(60, 80), join)
        is_whole = spelling == "plain" and hash_part in text
        expected = [] if is_whole else [(1, encoding)]
        assert found(f"a line\n{text}\nand another\n", hash_part) == expected


@pytest.mark.parametrize("join", JOINS)
def test_a_hash_part_in_columns_narrower_than_itself_is_found(join: str) -> None:
    for chance, before, hash_part in chances(join):
        path = path_of(before, hash_part).decode()
        text = wrapped(list(path), chance.randrange(16, 32), join)
        assert found(text, hash_part) == [(1, "broken")]


@pytest.mark.parametrize("spelling", ARRAYS)
def test_an_array_of_bytes_is_found_over_its_lines(spelling: str) -> None:
    encoding, spell = ARRAYS[spelling]
    for chance, before, hash_part in chances(spelling):
        pieces = spell(path_of(before, hash_part))
        size = chance.choice([8, 12, 16, 20])
        lines = ["".join(pieces[at : at + size]).rstrip() for at in range(0, len(pieces), size)]
        text = "static const char path[] = {\n  " + "\n  ".join(lines) + "};"
        assert found(text, hash_part) == [(1, encoding)]


def test_a_hex_dump_is_found_over_its_offsets_and_texts() -> None:
    for _, before, hash_part in chances("dump"):
        path = path_of(before, hash_part)
        xxd, canonical = [], []
        for at in range(0, len(path), 16):
            line = path[at : at + 16]
            xxd.append(f"{at:08x}: {line.hex(' ', -2):39}  {line.decode()}")
            halves = f"{line[:8].hex(' '):23}  {line[8:].hex(' '):23}"
            canonical.append(f"{at:08x}  {halves}  |{line.decode()}|")
        assert found("\n".join(xxd), hash_part) == [(1, "hex")]
        assert found("\n".join(canonical), hash_part) == [(1, "hex")]


def test_a_broken_text_inside_base64_is_found() -> None:
    for chance, before, hash_part in chances("layers"):
        whole = base64.b64encode(path_of(before, hash_part)).decode()
        inner = wrapped(list(whole), chance.randrange(60, 80), "\n")
        assert found(base64.b64encode(inner.encode()).decode(), hash_part) == [(1, "base64")]


@pytest.mark.parametrize("spelling", [name for name in BROKEN if len(BROKEN[name][1](b"..")) == 2])
def test_the_offset_is_that_of_the_first_piece_of_the_hash_part(spelling: str) -> None:
    _, spell = BROKEN[spelling]
    path = path_of("", HASH)
    pieces, start = spell(path), path.index(HASH.encode())
    middle = start + 16
    first, second = "".join(pieces[:middle]), "".join(pieces[middle:])
    (place,) = SpellingFinder([HASH.encode()]).find(f"{first}\n{second}".encode())
    assert place.offset == len("".join(pieces[:start]))
    assert place.size == len("".join(pieces[start : start + 32]).rstrip(":")) + 1


def test_escapes_of_a_path_that_leave_its_hash_part_alone_need_no_spelling() -> None:
    table = Table([(HASH.encode(), OTHER.encode())])
    path = f"/nix/store/{HASH}-openssl-3.0.20"
    for escaped in (
        quote(path, safe=""),
        json.dumps(path).replace("/", "\\/"),
        path.replace("/", "\\057"),
    ):
        rewritten, hits, _ = table.rewrite(escaped.encode())
        assert len(hits) == 1
        assert rewritten.decode() == escaped.replace(HASH, OTHER)


def test_nothing_is_found_in_bytes_that_spell_other_hash_parts() -> None:
    chance = random.Random(1)
    others = ["".join(chance.choice(NIX32_ALPHABET) for _ in range(32)) for _ in range(50)]
    kinds = [spell for _, spell in (BROKEN | WHOLE | ARRAYS).values()]
    spelled = "\n".join(
        wrapped(spell(path_of("x", other)), 70, "\n") for other in others for spell in kinds
    )
    assert not list(SpellingFinder([HASH.encode(), OTHER.encode()]).find(spelled.encode()))


def test_nothing_is_found_in_texts_of_the_same_characters() -> None:
    chance = random.Random(2)
    for _ in range(100):
        text = "".join(chance.choices(NIX32_ALPHABET + "\n\"', ", k=2000))
        assert not found(text, HASH)


@pytest.mark.parametrize("spelling", sorted(BROKEN.keys() - {"plain"}))
def test_a_file_that_passes_in_two_windows_has_every_place_once(spelling: str) -> None:
    encoding, spell = BROKEN[spelling]
    pieces = spell(path_of("x" * 60, HASH))
    text = ("some text\n" * 50 + wrapped(pieces, 64, "\n") + "\n" + "more\n" * 100).encode()
    search = DeepSearch((), [OTHER, HASH])
    whole = list(search.find_spelled(text, Site(b"file", "contents")))
    assert [place.encoding for place in whole] == [encoding]
    for cut in range(0, len(text), 29):
        passing = search.passing(b"file", text)
        passing.more(text[:cut])
        passing.more(text[cut:])
        assert passing.found == whole


def test_every_form_has_a_name_of_its_own() -> None:
    names = [form.name for form in FORMS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("sign", [b"+", b"/", b"-", b"_"])
@pytest.mark.parametrize("before", range(3))
def test_base64_is_read_right_behind_a_sign_that_is_no_letter(sign: bytes, before: int) -> None:
    text = base64.b64encode(bytes(6 + before) + HASH.encode() + b"-lib")
    # What the sign spells is none of the hash part's, whose digits are the rest of the group.
    at = 7 if before else 7 + 1
    data = text[: at - 1] + sign + text[at:] if before else text[:7] + sign + text[8:]
    assert [spelled.encoding for spelled in SpellingFinder([HASH.encode()]).find(data)] == [
        "base64"
    ]


def hash_of(text: bytes) -> bytes:
    number = 0
    for character in text:
        number = number * 32 + NIX32_ALPHABET.encode().index(character)
    return number.to_bytes(20, "little")


UNBROKEN: dict[str, Callable[[bytes], bytes]] = {
    "front-coded": lambda text: b"\x07" + text[5:],
    "rot13": lambda text: codecs.encode(text.decode(), "rot13").encode(),
    "ebcdic": lambda text: text.decode().encode("cp037"),
    "bytes of the hash": hash_of,
    "bytes of the hash in hex": lambda text: hash_of(text).hex().encode(),
    "bytes of the hash in base64": lambda text: base64.b64encode(hash_of(text)),
}


@pytest.mark.parametrize("form", UNBROKEN)
def test_a_spelling_without_breaks_is_found_at_any_offset(form: str) -> None:
    finder = SpellingFinder([OTHER.encode(), HASH.encode()])
    for before in range(20):
        data = b"\0" * before + UNBROKEN[form](HASH.encode()) + b"-lib-1.0\0"
        (found,) = finder.find(data)
        assert (found.index, found.encoding) == (1, form)


@pytest.mark.parametrize("cut", range(1, 70))
def test_a_whole_hash_part_over_the_end_of_a_window_is_not_front_coded(cut: int) -> None:
    search = DeepSearch([StorePath(f"{HASH}-lib")])
    passing = search.passing(b"file", b"")
    data = bytes(300) + HASH.encode() + bytes(300)
    passing.more(data[: 270 + cut])
    passing.more(data[270 + cut :])
    assert passing.found == []


def test_a_whole_hash_part_is_not_front_coded() -> None:
    finder = SpellingFinder([HASH.encode()])
    assert list(finder.find(b"/nix/store/" + HASH.encode() + b"-lib")) == []


@pytest.mark.parametrize("before", range(0, 60, 7))
def test_a_uuencoded_hash_part_is_found_over_line_ends(before: int) -> None:
    data = b"x" * before + b"/nix/store/" + HASH.encode() + b"-lib-1.0/share\n"
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    text = b"begin 644 x\n" + b"".join(lines) + b"`\nend\n"
    (found,) = SpellingFinder([OTHER.encode(), HASH.encode()]).find(text)
    assert (found.index, found.encoding) == (1, "uuencode")

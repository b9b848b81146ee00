"""Hash parts spelled otherwise: every spelling is found wherever it stands, and nothing else."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.formats.hashing import NIX32_ALPHABET
from graft.kernel import Table
from graft.objects.spellings import SPELLINGS, SpellingFinder

OTHER = "mpcaj8a1xyzs16j4fpc1gmd77012vi1g"
HASH = "qfxj33vp13g8xmvr71kdchhrh9bck01f"
PATH = f"/nix/store/{HASH}-openssl-3.0.20".encode()
HASH_PARTS = st.text(NIX32_ALPHABET, min_size=32, max_size=32)

SPELLED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "base64": ("base64", base64.b64encode),
    "url-base64": ("base64", base64.urlsafe_b64encode),
    "hex": ("hex", lambda path: path.hex().encode()),
    "upper-hex": ("hex", lambda path: path.hex().upper().encode()),
    "percent": ("percent", lambda path: b"".join(b"%%%02x" % byte for byte in path)),
    "upper-percent": ("percent", lambda path: b"".join(b"%%%02X" % byte for byte in path)),
    "c": ("hex-escape", lambda path: b"".join(b"\\x%02x" % byte for byte in path)),
    "json": ("json", lambda path: b"".join(b"\\u%04x" % byte for byte in path)),
    "octal": ("octal", lambda path: b"".join(b"\\%03o" % byte for byte in path)),
    "reversed": ("reversed", lambda path: path[::-1]),
}


@pytest.mark.parametrize("spelling", SPELLED)
@given(before=st.binary(max_size=24), hash_part=HASH_PARTS.filter(lambda text: text != OTHER))
def test_a_path_is_found_in_every_spelling_after_anything(
    spelling: str, before: bytes, hash_part: str
) -> None:
    encoding, spell = SPELLED[spelling]
    finder = SpellingFinder([OTHER.encode(), hash_part.encode()])
    data = spell(before + b"/nix/store/" + hash_part.encode() + b"-name") + b" and more text"
    found = [(each.index, each.encoding) for each in finder.find(data)]
    assert (1, encoding) in found
    assert {index for index, _ in found} == {1}


@pytest.mark.parametrize("spelling", SPELLED)
def test_the_offset_is_that_of_the_first_byte_that_only_the_hash_part_decides(
    spelling: str,
) -> None:
    encoding, spell = SPELLED[spelling]
    data = b"?" * 37 + spell(PATH)
    (found,) = SpellingFinder([HASH.encode()]).find(data)
    spellings = list(SPELLINGS[encoding](HASH.encode()))
    assert data[found.offset : found.offset + found.size] in spellings


def test_escapes_of_a_path_that_leave_its_hash_part_alone_need_no_spelling() -> None:
    table = Table([(HASH.encode(), OTHER.encode())])
    for escaped in (
        quote(PATH, safe=""),
        json.dumps(PATH.decode()).replace("/", "\\/"),
        PATH.decode().replace("/", "\\057"),
    ):
        rewritten, hits, _ = table.rewrite(escaped.encode())
        assert len(hits) == 1
        assert rewritten.decode() == escaped.replace(HASH, OTHER)


def test_nothing_is_found_in_bytes_that_spell_other_hash_parts() -> None:
    chance = random.Random(1)
    others = ["".join(chance.choice(NIX32_ALPHABET) for _ in range(32)).encode() for _ in range(50)]
    spelled = b"\n".join(spell(b"x" + other) for other in others for _, spell in SPELLED.values())
    assert not list(SpellingFinder([HASH.encode(), OTHER.encode()]).find(spelled))


def test_so_many_hash_parts_that_the_step_is_smaller_are_found_as_well() -> None:
    chance = random.Random(2)
    many = ["".join(chance.choice(NIX32_ALPHABET) for _ in range(32)).encode() for _ in range(4100)]
    data = b"..." + many[4099][::-1] + b"." + base64.b64encode(b"?" + many[7])
    found = [(each.index, each.encoding) for each in SpellingFinder(many).find(data)]
    assert sorted(found) == [(7, "base64"), (4099, "reversed")]

"""Texts that hold a sum of themselves or of a part, or a signature."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable

import pytest

from graft.fixups import registered
from graft.fixups.text_guards import GuardProbe, may_be_guarded
from graft.kernel import Table

OLD = b"q1w2r3y4p5a6s7d8f9g0h1j2k3l4z5x6-lib-1.0"
NEW = b"m9n8b7v6c5x4z3l2k1j0h9g8f7d6s5a4-lib-1.1"
TABLE = Table([(OLD, NEW)])

Spell = Callable[[bytes], bytes]


def _hex(kind: str) -> Spell:
    return lambda data: hashlib.new(kind, data).hexdigest().encode()


def _base64(kind: str) -> Spell:
    return lambda data: base64.b64encode(hashlib.new(kind, data).digest())


SPELLINGS: dict[str, Spell] = {
    "crc32": lambda data: b"%08x" % zlib.crc32(data),
    "CRC32": lambda data: b"%08X" % zlib.crc32(data),
    **{kind: _hex(kind) for kind in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")},
    "blake2b": _hex("blake2b"),
    **{f"{kind} in base64": _base64(kind) for kind in ("md5", "sha1", "sha256", "sha512")},
}


def _rewritten(data: bytes) -> tuple[bytes, list[str | None]]:
    new, outcomes = registered().rewrite(data, b"a.conf", TABLE)
    return new, [each.reason for each in outcomes]


def _last_line(body: bytes, spell: Spell) -> bytes:
    return body + b"# sum: " + spell(body) + b"\n"


def _first_line(body: bytes, spell: Spell) -> bytes:
    return b"sum=" + spell(body) + b"\n" + body


def _line_left_out(body: bytes, spell: Spell) -> bytes:
    return b"version 1\n" + b"Sum: " + spell(b"version 1\n" + body) + b"\n" + body


def _zeroed(body: bytes, spell: Spell) -> bytes:
    filling = b"0" * len(spell(b""))
    return b"sum=" + spell(b"sum=" + filling + b"\n" + body) + b"\n" + body


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("place", [_last_line, _first_line, _line_left_out, _zeroed])
def test_a_sum_of_the_text_is_made_anew(
    place: Callable[[bytes, Spell], bytes], spell: Spell
) -> None:
    body = b"one\ntwo\nhome = /nix/store/" + OLD + b"/share\nthree\nfour\nfive\n"
    new, reasons = _rewritten(place(body, spell))
    assert new == place(body.replace(OLD, NEW), spell)
    assert reasons == [None]


def test_a_sum_of_an_element_a_string_and_a_line_is_made_anew() -> None:
    def page(path: bytes) -> bytes:
        script = b'const a = "x < y", home = "/nix/store/' + path + b'";\n'
        line = b"<!-- /nix/store/" + path + b" -->"
        sums = [
            b"'sha256-" + _base64("sha256")(script) + b"'",
            _hex("md5")(b"/nix/store/" + path),
            _hex("sha1")(line),
        ]
        return b"\n".join([*sums, b"<script type=x>" + script + b"</script>", line, b""])

    new, reasons = _rewritten(page(OLD))
    assert new == page(NEW)
    assert reasons == [None]


def test_a_raw_sum_at_the_end_of_a_text_is_made_anew() -> None:
    body = b"home = /nix/store/" + OLD + b"/share\n"
    made = 0
    for number in range(400):
        text = body + b"%d\n" % number
        data = text + zlib.crc32(text).to_bytes(4)
        try:
            data.decode()
        except UnicodeDecodeError:
            continue
        made += 1
        after = text.replace(OLD, NEW)
        assert _rewritten(data)[0] == after + zlib.crc32(after).to_bytes(4)
    assert made > 3


def test_a_sum_of_another_text_stays() -> None:
    data = b"sha256 " + _hex("sha256")(b"another") + b"\n/nix/store/" + OLD + b"\n"
    assert _rewritten(data) == (data.replace(OLD, NEW), [])


SIGNED = {
    "pgp": b"-----BEGIN PGP SIGNATURE-----\n\niQEzBAABCgAdFiEE7qs2AAAAAAAAAA==\n=abcd\n"
    b"-----END PGP SIGNATURE-----\n",
    "smime": b'Content-Type: multipart/signed; protocol="application/x-pkcs7-signature"\n',
    "xml": b"<ds:SignatureValue>\nAbCd0123</ds:SignatureValue>\n",
    "tuf": b'{"signatures": [{"keyid": "ab", "sig": "00"}]}\n',
    "jws": b'{"signature": "' + b"aB3_" * 20 + b'"}\n',
    "narinfo": b"Sig: cache-1:" + b"A" * 86 + b"==\n",
    "pdf": b"/ByteRange [ 0 840 960 240 ]\n",
    "dkim": b"DKIM-Signature: v=1; a=rsa-sha256; d=x\n",
}


@pytest.mark.parametrize("signature", SIGNED.values(), ids=SIGNED)
def test_a_signed_text_is_left_alone(signature: bytes) -> None:
    data = b"home = /nix/store/" + OLD + b"\n" + signature
    new, (reason,) = _rewritten(data)
    assert new == data
    assert reason == "it is signed: only the owner of the key can sign it again"


def test_a_program_that_speaks_of_signatures_is_rewritten() -> None:
    data = b"#!/nix/store/" + OLD + b'/bin/sh\ngrep -q "-----BEGIN PGP SIGNATURE-----" "$1"\n'
    assert _rewritten(data) == (data.replace(OLD, NEW), [])


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_a_probe_tells_a_text_that_passes(size: int) -> None:
    def guarded(text: bytes) -> bool:
        probe = GuardProbe()
        for at in range(0, len(text), size):
            probe.more(text[at : at + size])
        return probe.guarded(None)

    plain = b"a line of text\n" * 100
    assert not guarded(plain)
    assert not may_be_guarded(plain)
    assert guarded(plain + b"sum " + _hex("sha256")(plain) + b"\n")
    assert guarded(plain + SIGNED["pgp"])
    assert guarded(plain + b"\1\2\3\4")

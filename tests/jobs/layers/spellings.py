"""Layers that spell bytes in another way, as texts hold them."""

from __future__ import annotations

import base64
import html
import json
import quopri
import random
import re
import textwrap
import urllib.parse
from collections.abc import Callable

from tests.jobs.layers.layer import Layer, Make, Reference

COLUMNS = (60, 64, 72, 76)
ENDS = (b"\n", b"\n", b"\r\n", b"\n  ")


def _layer(
    name: str,
    spell: Callable[[bytes], bytes],
    read: Callable[[bytes], bytes],
    *,
    hides: bool = True,
    text: bool = True,
) -> Layer:
    def wrap(data: bytes, reference: Reference) -> bytes:
        del reference
        return spell(data)

    def peel(data: bytes, reference: Reference) -> bytes:
        del reference
        return read(data)

    return Layer(name, wrap, peel, "text" if text else "bytes", "spelled" if hides else "")


def _wrapped(choice: random.Random) -> tuple[str, Callable[[bytes], bytes]]:
    """A way to break digits into lines, and its name."""
    if choice.random() < 0.5:
        return "one line", bytes
    column, end = choice.choice(COLUMNS), choice.choice(ENDS)

    def broken(text: bytes) -> bytes:
        return end.join(text[at : at + column] for at in range(0, len(text), column)) + b"\n"

    return f"{column} columns, {end!r}", broken


_Change = Callable[[bytes], bytes]


def _digits(choice: random.Random, name: str, spell: _Change, read: _Change) -> Layer:
    how, broken = _wrapped(choice)
    return _layer(
        f"{name}({how})",
        lambda data: broken(spell(data)),
        lambda data: read(b"".join(data.split())),
    )


def _base64(choice: random.Random) -> Layer:
    return _digits(choice, "base64", base64.b64encode, base64.b64decode)


def _url_safe(choice: random.Random) -> Layer:
    def spell(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    def read(text: bytes) -> bytes:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))

    return _digits(choice, "base64url", spell, read)


def _hex(choice: random.Random) -> Layer:
    capitals = choice.random() < 0.3

    def spell(data: bytes) -> bytes:
        text = data.hex()
        return (text.upper() if capitals else text).encode()

    return _digits(choice, "HEX" if capitals else "hex", spell, lambda t: bytes.fromhex(t.decode()))


def _base32(choice: random.Random) -> Layer:
    return _digits(choice, "base32", base64.b32encode, base64.b32decode)


def _ascii85(choice: random.Random) -> Layer:
    column, adobe = choice.choice((0, 60, 76)), choice.random() < 0.5

    def spell(data: bytes) -> bytes:
        return base64.a85encode(data, wrapcol=column, adobe=adobe)

    def read(text: bytes) -> bytes:
        return base64.a85decode(text, adobe=adobe)

    return _layer(f"ascii85(column={column} adobe={adobe})", spell, read)


def _hex_escapes(choice: random.Random) -> Layer:
    del choice

    def spell(data: bytes) -> bytes:
        return "".join(f"\\x{byte:02x}" for byte in data).encode()

    return _layer("\\x", spell, lambda text: bytes.fromhex(text.decode().replace("\\x", "")))


def _array(choice: random.Random) -> Layer:
    form = choice.choice(("0x{:02x}, ", "0x{:02X},", "{}, ", "{},"))
    across = choice.choice((0, 8, 12, 16))

    def spell(data: bytes) -> bytes:
        step = across or max(len(data), 1)
        lines = (
            "".join(map(form.format, data[at : at + step])) for at in range(0, len(data), step)
        )
        return ("unsigned char a[] = {\n  " + "\n  ".join(lines) + "\n};\n").encode()

    def read(text: bytes) -> bytes:
        numbers = text.partition(b"{")[2].partition(b"}")[0]
        return bytes(int(each, 0) for each in numbers.split(b",") if each.strip())

    return _layer(f"array({form!r} across={across})", spell, read)


def _percent(choice: random.Random) -> Layer:
    every = choice.random() < 0.5

    def spell(data: bytes) -> bytes:
        if every:
            return "".join(f"%{byte:02X}" for byte in data).encode()
        return urllib.parse.quote_from_bytes(data, safe="").encode()

    return _layer(f"percent(every={every})", spell, urllib.parse.unquote_to_bytes, hides=every)


def _quoted_printable(choice: random.Random) -> Layer:
    return _quoted(every=choice.random() < 0.3)


def _quoted_bytes(choice: random.Random) -> Layer:
    del choice
    return _quoted(every=True)  # else the ends of lines may be other ones


def _quoted(*, every: bool) -> Layer:
    def spell(data: bytes) -> bytes:
        if not every:
            return quopri.encodestring(data, quotetabs=True)
        text = "".join(f"={byte:02X}" for byte in data)
        return "=\n".join(textwrap.wrap(text, 75)).encode()

    return _layer(f"quoted-printable(every={every})", spell, quopri.decodestring)


def _references(choice: random.Random) -> Layer:
    form = choice.choice(("&#{};", "&#x{:x};"))

    def spell(data: bytes) -> bytes:
        return "".join(form.format(ord(each)) for each in data.decode()).encode()

    return _layer(f"references({form})", spell, lambda text: html.unescape(text.decode()).encode())


def _json(choice: random.Random) -> Layer:
    every, slashes = choice.random() < 0.5, choice.random() < 0.5

    def spell(data: bytes) -> bytes:
        text = json.dumps(data.decode())
        if every:
            text = '"' + "".join(f"\\u{ord(each):04x}" for each in data.decode()) + '"'
        elif slashes:
            text = text.replace("/", "\\/")
        return b'{"key": ' + text.encode() + b"}\n"

    def read(text: bytes) -> bytes:
        value: str = json.loads(text)["key"]
        return value.encode()

    return _layer(f"json(every={every} slashes={slashes})", spell, read, hides=every)


def _joined(choice: random.Random) -> Layer:
    column = choice.choice((20, 33, 60, 76))
    between = choice.choice(('"\n  "', '" "', '"\n"', '" +\n    "'))

    def spell(data: bytes) -> bytes:
        text = data.decode()
        parts = (json.dumps(text[at : at + column])[1:-1] for at in range(0, len(text), column))
        return f'char *a =\n  "{between.join(parts)}";\n'.encode()

    def read(text: bytes) -> bytes:
        strings = re.findall(r'"(?:[^"\\]|\\.)*"', text.decode())
        return "".join(map(json.loads, strings)).encode()

    return _layer(f"joined({column} columns, {between!r})", spell, read)


def _capitals(choice: random.Random) -> Layer:
    del choice
    return _layer("capitals", lambda data: data.upper(), lambda data: data.lower())


def _wide(choice: random.Random) -> Layer:
    encoding = choice.choice(("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"))
    mark = "\ufeff" if choice.random() < 0.5 else ""

    def spell(data: bytes) -> bytes:
        return (mark + data.decode()).encode(encoding)

    def read(data: bytes) -> bytes:
        return data.decode(encoding).removeprefix(mark).encode()

    return _layer(f"{encoding}(mark={bool(mark)})", spell, read, hides=False, text=False)


OF_BYTES: tuple[Make, ...] = (
    *(_base64, _base64, _url_safe, _hex, _base32, _ascii85, _hex_escapes, _array, _percent),
    _quoted_bytes,
)
"""Spellings of any bytes."""

OF_TEXT: tuple[Make, ...] = (
    *OF_BYTES,
    *(_quoted_printable, _references, _json, _joined, _capitals, _wide, _wide),
)
"""Spellings of a text in small letters."""

OF_SPELLED: tuple[Make, ...] = (_base64, _url_safe)
"""Spellings of another: of UTF-16 or UTF-32, or of base64 without a break."""

OF_PACKED: tuple[Make, ...] = (_base64, _base64, _url_safe, _hex, _hex_escapes, _array)
"""Spellings of a stream, by whose beginning it is found."""

OF_LZ4: tuple[Make, ...] = (_base64, _url_safe, _hex, _hex_escapes)
"""Those in which the beginning of LZ4's is looked for."""

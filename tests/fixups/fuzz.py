"""Damages samples of every file type for some seconds: `python -m tests.fixups.fuzz SECONDS`.

Stops with the bytes of the first that breaks a law: nothing is raised, nothing takes long, what is
left alone stays byte for byte, and of what is rewritten no reference remains.
"""

from __future__ import annotations

import gzip
import random
import sqlite3
import struct
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

from graft.fixups import Limits, registered
from tests.fixups.samples import (
    ARCHIVES,
    COMPRESSORS,
    OLD,
    TABLE,
    beam,
    gvdb,
    lz4_legacy,
    pe,
    sbcl_core,
    text,
)
from tests.fixups.test_macho import BODY, signed

SLOW = 20.0  # seconds, on a machine that others use as well

REGISTRY = registered(("initrd",), Limits(size=1 << 24, free=1 << 20))


def samples() -> list[bytes]:
    data = text()
    found = [make(data) for _, make in COMPRESSORS.values()]
    found += [make([("a", data), ("b", b"nothing")]) for _, make in ARCHIVES.values()]
    found += [
        make([(f"m{n}", one) for n, one in enumerate(found)]) for _, make in ARCHIVES.values()
    ]
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (path TEXT UNIQUE)")
    database.execute("INSERT INTO t VALUES (?)", (OLD.decode(),))
    database.commit()
    found.append(database.serialize())
    database.close()
    resource = struct.pack("<II", len(data), 1) + zlib.compress(data) + b"\0(uuay)"
    return [
        *found,
        lz4_legacy(data),
        signed(BODY, entitlements=b"<plist/>"),
        beam({b"AtU8": OLD, b"LitT": data}),
        gvdb({b"a": OLD, b"b": resource}),
        pe({b".text": OLD}),
        pe({b".linux": b"", b".initrd": gzip.compress(data)}, signed=True),
        sbcl_core(OLD),
        b"Caml1999I035\x84\x95\xa6\xbd\x08\1\1\1" + gzip.compress(data),
    ]


def damaged(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    result = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(len(result) + 1) if chance.random() < 0.5 else chance.randrange(64)
        kind = chance.randrange(5)
        if kind == 0:
            result[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            result[at : at + 4] = chance.choice([b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff"])
        elif kind == 2:
            del result[at : at + chance.randrange(1, 40)]
        elif kind == 3:
            other = chance.choice(others)
            begin = chance.randrange(len(other) + 1)
            result[at:at] = other[begin : begin + chance.randrange(200)]
        elif len(result) > 64:
            del result[max(64, at) :]
    return bytes(result)


def check(data: bytes) -> str:
    """What came of it, in a word; AssertionError if it breaks a law."""
    begin = time.monotonic()
    places, _ = REGISTRY.references(data, b"file", TABLE)
    new, outcomes = REGISTRY.rewrite(data, b"file", TABLE)
    assert time.monotonic() - begin < SLOW
    words = {outcome.outcome for outcome in outcomes}
    if new != data:
        assert places
    if words <= {"rewritten"}:
        assert REGISTRY.references(new, b"file", TABLE)[0] == []
    return " ".join(sorted(words)) or "nothing"


def main(seconds: float) -> int:
    chance = random.Random()
    seeds = samples()
    end = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    while time.monotonic() < end:
        data = damaged(chance, chance.choice(seeds), seeds)
        try:
            counts[check(data)] += 1
        except BaseException:
            Path("build").mkdir(exist_ok=True)
            Path("build/fixups-found").write_bytes(data)
            print("it is in build/fixups-found")
            raise
    print(", ".join(f"{word}: {count}" for word, count in counts.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))

"""`.cargo-checksum.json` of vendored Rust packages: the SHA-256 of each file next to it."""

from __future__ import annotations

import hashlib
import json
import re

from graft.fixups.api import Fixup, Inside


class Cargo(Fixup):
    """The sums of the files that changed, where they were right before; all else stays."""

    name = "cargo"
    opens = False
    names = (b".cargo-checksum.json",)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The list with the new sums."""
        del name
        made = inside.plain(data)
        for path, digest in json.loads(data).get("files", {}).items():
            beside = path.encode()
            if not inside.changed(beside):
                continue
            old, new = inside.old(beside), inside.new(beside)
            if old is None or new is None:
                continue
            if hashlib.sha256(old).hexdigest() != digest:
                inside.note(f"'{path}' had another sum already")
                continue
            # Names that hold a hash part have changed here as well: the sum is enough to find it.
            line = re.compile(rb'(:\s*")' + digest.encode() + rb'"')
            made = line.sub(rb"\g<1>" + hashlib.sha256(new).hexdigest().encode() + b'"', made)
        return data if made == data else made

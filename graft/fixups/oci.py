"""Images of containers, whose files are named by the SHA-256 of their contents.

Source: the OCI Image Format Specification, "Image Layout".
"""

from __future__ import annotations

import hashlib
import re

from graft.fixups.api import Fixup, Inside, LeftAloneError

NAMED_BY_CONTENTS = "its name is the hash of its contents: graft its contents, and make it anew"
_DIGEST = re.compile(rb"[0-9a-f]{64}")
_LAYOUT = b"oci-layout"


class OciBlob(Fixup):
    """Layers, configurations and manifests: looked into, and left alone."""

    name = "oci-blob"
    magics = ((0, b'{"'), (0, b"\x1f\x8b\x08"), (0, b"\x28\xb5\x2f\xfd"), (257, b"ustar"))

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By its name, and by its possible contents."""
        return _DIGEST.fullmatch(name) is not None and super().recognises(head, name)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The unchanged blob, if its name is its hash."""
        new = inside.contents(b"blob", data)
        if new is not data and hashlib.sha256(data).hexdigest().encode() == name:
            raise LeftAloneError(NAMED_BY_CONTENTS)
        return new


def is_image(names: list[bytes]) -> bool:
    """Whether a tar archive with members of these names is one, as Docker loads it."""
    base = [name.removeprefix(b"./") for name in names]
    return _LAYOUT in base or (
        b"manifest.json" in base and any(name.endswith((b"/layer.tar", b".tar")) for name in base)
    )

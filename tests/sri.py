"""Hashes as Subresource Integrity spells them."""

from __future__ import annotations

import base64


def sri_encode(digest: bytes, algorithm: str = "sha256") -> str:
    """Spells a digest as `sha256-<base64>`."""
    return f"{algorithm}-{base64.b64encode(digest).decode()}"

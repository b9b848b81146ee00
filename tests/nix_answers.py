"""What Nix's versions answer differently."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from typing import Any

from graft.formats.hash_modulo import SelfReferences


@functools.cache
def version() -> tuple[int, int]:
    """The first two numbers of the version of the Nix that is installed."""
    # As any user: it looks into the home directory, and makes one in the state directory if it may.
    environment = {**os.environ, "HOME": "/", "NIX_REMOTE": "daemon"}
    told = subprocess.run(
        ["nix-store", "--version"], check=True, capture_output=True, text=True, env=environment
    ).stdout
    found = re.search(r"(\d+)\.(\d+)", told)
    assert found is not None, told
    return int(found[1]), int(found[2])


def self_references() -> SelfReferences:
    """How this Nix hashes contents that hold their own path."""
    return "zeroed" if (2, 17) <= version() <= (2, 34) else "positions"


def content_addressed() -> tuple[str, str]:
    """The options of a graft that this Nix takes without a signature."""
    return "--content-addressed", f"--self-references={self_references()}"


def path_infos(printed: str) -> list[dict[str, Any]]:
    """What `nix path-info --json` printed: a list, from 2.19 on an object by path."""
    document = json.loads(printed)
    if isinstance(document, list):
        return document
    return [{"path": path, **info} for path, info in document.items()]

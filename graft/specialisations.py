"""Specialisations: other systems that a NixOS system has beside itself, and can be switched to.

Source: nixos/modules/system/activation/specialisation.nix of nixpkgs; home-manager's generations
have them in the same place.
"""

from __future__ import annotations

import os

from graft.formats.store_path import StoreDir, StorePath
from graft.tree.symlink import led_to

_DIRECTORY = "specialisation"


def find_specialisations(tree: str, store_dir: StoreDir) -> dict[str, StorePath]:
    """The specialisations in the tree of a NixOS system, or of a home-manager generation, by name.

    Args:
        tree: where it lies; of one without any, or that may not be read, there are none.
        store_dir: its logical one.
    """
    directory = os.path.join(tree, _DIRECTORY)
    try:
        names = os.listdir(directory)
    except OSError:
        return {}
    found = {name: led_to(os.path.join(directory, name), store_dir) for name in sorted(names)}
    return {name: path for name, path in found.items() if path is not None}

"""NixOS systems made on the spot: the top of their closures, as nixpkgs lays it out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from tests.store_objects import Contents, add_object, named_path

SYSTEM_NAME = "nixos-system-host-24.05"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system, and what it is made of.

    Attributes:
        path: the system itself.
        initrd: what its `initrd` leads into; it is built from `library`, and says so.
        modules: what its `kernel-modules` lead into; built from `library` as well.
    """

    path: StorePath
    initrd: StorePath
    modules: StorePath


def add_system(
    store: LocalStore,
    library: StorePath,
    *,
    name: str = SYSTEM_NAME,
    initrd: StorePath | None = None,
    specialisations: Mapping[str, System] | None = None,
    without: Iterable[str] = (),
) -> System:
    """Makes a system that uses a library, in its initrd too.

    Args:
        initrd: another system's, to be shared.
        without: parts that it has not.
    """
    full = store.store_dir.path
    specialisations = specialisations or {}
    kernel = add_object(store, f"linux-of-{name}", {"bzImage": b"kernel"})
    if initrd is None:
        initrd = add_object(
            store, f"initrd-of-{name}", {"initrd": full(library).encode()}, [library]
        )
    modules = add_object(
        store, f"modules-of-{name}", {"lib": {"modules": full(library).encode()}}, [library]
    )
    contents = system_contents(
        full(named_path(name, store.store_dir)),
        kernel=full(kernel),
        initrd=full(initrd),
        modules=full(modules),
        library=full(library),
        specialisations={key: full(other.path) for key, other in specialisations.items()},
    )
    path = add_object(
        store,
        name,
        {key: value for key, value in contents.items() if key not in without},
        [kernel, initrd, modules, library, *(other.path for other in specialisations.values())],
    )
    return System(path=path, initrd=initrd, modules=modules)


def system_contents(
    path: str,
    *,
    kernel: str,
    initrd: str,
    modules: str,
    library: str,
    specialisations: Mapping[str, str],
) -> dict[str, Contents]:
    """The tree of a system; all arguments are full paths."""
    boot = {
        "org.nixos.bootspec.v1": {
            "init": f"{path}/init",
            "initrd": f"{initrd}/initrd",
            "kernel": f"{kernel}/bzImage",
            "toplevel": path,
        }
    }
    return {
        "activate": f"#!/bin/sh\nexec {library}/activate\n".encode(),
        "bin": {"switch-to-configuration": b"#!/bin/sh\n"},
        "boot.json": json.dumps(boot).encode(),
        "init": b"#!/bin/sh\n",
        "initrd": f"{initrd}/initrd",
        "kernel": f"{kernel}/bzImage",
        "kernel-modules": modules,
        "nixos-version": b"24.05",
        "specialisation": dict(specialisations),
    }

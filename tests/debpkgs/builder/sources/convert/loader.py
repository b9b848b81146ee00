"""ELF files made to use the store's dynamic loader and the store's libraries."""

import os
import posixpath
import subprocess
import sys

from .elf import Dynamic, read_dynamic
from .layout import Layout, hoist
from .release import LOADER, MULTIARCH

# Debian's loader has the host's library directories, cache and preload file compiled in, and
# falls back to them: a program of the store would run on the host's libraries, and nobody would
# notice. Edits of the same length lead it to places that do not exist.
_HOST_PATHS = (
    (b"/etc/ld.so.cache\0", b"/nix/ld.so.cache\0"),
    (b"/usr/lib/x86_64-linux-gnu/\0", b"/nix/nil/x86_64-linux-gnu/\0"),
    (b"/lib/x86_64-linux-gnu/\0", b"/nil/x86_64-linux-gnu/\0"),
    (b"\0/lib/\0/usr/lib/\0", b"\0/nil/\0/nix/nil/\0"),
    (b"/etc/ld.so.preload\0", b"/nix/ld.so.preload\0"),
)


def blind_to_the_host(output: str) -> None:
    """Edits glibc's loader so that it sees nothing of the host."""
    path = os.path.join(output, LOADER)
    with open(path, "rb") as file:
        data = file.read()
    edited = data
    for old, new in _HOST_PATHS:
        edited = edited.replace(old, new)
    if len(edited) != len(data) or edited == data:
        raise RuntimeError(f"{path} is not the loader these edits are for")
    with open(path, "wb") as file:
        file.write(edited)


def patch_all(layout: Layout) -> tuple[int, set[str]]:
    """Sets interpreter and search path of every program and library; count, libraries not found."""
    provider = layout.foreign.get(LOADER)
    interpreter = f"{provider}/{LOADER}" if provider else None
    patched = 0
    missing: set[str] = set()
    for output, path, _ in layout.regular_files():
        if path.endswith((".o", ".debug")) or "/lib/debug/" in path:
            continue
        dynamic = read_dynamic(path)
        if dynamic is None:
            continue
        options: list[list[str]] = []
        search = ":".join(_search_path(layout, output, path, dynamic, missing))
        if search and search != dynamic.rpath:
            options.append(["--set-rpath", search])
        if interpreter and (dynamic.interpreter or "").startswith("/lib"):
            options.append(["--set-interpreter", interpreter])
        if options:
            patched += _patch(path, options, dynamic.position_independent)
    return patched, missing


def _patch(path: str, options: list[list[str]], position_independent: bool) -> bool:
    # patchelf 0.14 breaks executables at fixed addresses (Go's) unless the search path is set
    # first and the interpreter in a run of its own.
    if position_independent:
        options = [[word for option in reversed(options) for word in option]]
    for arguments in options:
        run = subprocess.run(
            ["patchelf", *arguments, path], check=False, stderr=subprocess.PIPE, text=True
        )
        if run.returncode != 0:
            print(f"patchelf failed: {path}: {run.stderr.strip()}", file=sys.stderr)
            return False
    return True


def _search_path(
    layout: Layout, output: str, path: str, dynamic: Dynamic, missing: set[str]
) -> list[str]:
    """The directories of a file's libraries: what it had, mapped, then one for each it needs."""
    found: dict[str, None] = {}
    for directory in (dynamic.rpath or "").split(":"):
        mapped = _map_directory(layout, directory) if directory else None
        if mapped:
            found.setdefault(mapped)
    for name in dynamic.needed:
        if "/" in name or name.startswith("ld-linux"):
            continue
        if name in layout.own_libraries:
            own = _nearest_own(layout, output, os.path.dirname(path), name)
            if own:
                found.setdefault(own)
        elif name in layout.foreign_libraries:
            place, dependency = min(
                layout.foreign_libraries[name],
                key=lambda item: (
                    item[0] != f"{MULTIARCH}/{name}",
                    item[0].count("/"),
                    len(item[0]),
                    item[0],
                ),
            )
            found.setdefault(f"{dependency}/{posixpath.dirname(place)}")
        else:
            missing.add(name)
    return list(found)


def _nearest_own(layout: Layout, output: str, here: str, name: str) -> str | None:
    """The directory, in an output one may refer to, of the copy of a library to prefer."""
    candidates = [
        (posixpath.dirname(f"{layout.outputs[owner]}/{place}"), place)
        for place, owner in layout.own_libraries[name]
        if layout.allowed(owner, output)
    ]
    if not candidates:
        return None
    best = min(
        candidates,
        key=lambda item: (
            item[0] != here,
            not item[1].startswith(f"{MULTIARCH}/{name}"),
            len(item[1]),
            item[1],
        ),
    )
    return best[0]


def _map_directory(layout: Layout, directory: str) -> str | None:
    if "$ORIGIN" in directory:
        return directory
    if not directory.startswith("/"):
        return None
    path = hoist(posixpath.normpath(directory).lstrip("/"))
    if path in layout.own_directories:
        return f"{layout.outputs[layout.own_directories[path][0]]}/{path}"
    foreign = layout.foreign_directories.get(path, [])
    return f"{foreign[0]}/{path}" if len(foreign) == 1 else None

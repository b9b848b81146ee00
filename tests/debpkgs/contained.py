"""What holds references where they are not seen, on top of a set's old and new root.

The same builders run with the old root's paths and with the new one's, in the checked-out store:
what was built once and is kept stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .built import Built
from .edited import Given, scripted
from .equality import package_name
from .store import PrivateStore

TOOLS = ("ar", "clang", "gcc", "gzip", "lz4", "objcopy", "strip", "xz", "zstd")
"""Programs of the machine's that the builders call."""

_SCRIPTS = Path(__file__).parent / "containers"
_PACKAGES = ("documented", "bundles", "installed", "compiled")


@dataclass(frozen=True)
class Contained:
    """Two roots, and what of the old one became what of the new one."""

    old_root: str
    new_root: str
    replacements: Mapping[str, str]


def contain(built: Built, store: PrivateStore, directory: Path) -> Contained:
    """Builds both roots, which lead to the set's own; gone when the store is no longer ours.

    Args:
        store: the set's, checked out.
        directory: where expressions are written.
    """
    old, new = (
        _root(store, root, replaced, directory)
        for root, replaced in (
            (built.old_root, built.replacements.keys()),
            (built.new_root, built.replacements.values()),
        )
    )
    return Contained(old, new, built.replacements)


def _root(store: PrivateStore, root: str, replaced: Iterable[str], directory: Path) -> str:
    by_name = {package_name(path): path for path in store.closure(root)}
    given: dict[str, Path | str] = {
        "replaced": min(replaced, key=len),  # of several outputs the first
        "python": by_name["python3.11"],
        **{name: by_name[name] for name in ("coreutils", "glibc")},
        "curl": by_name["curl-bin"],
    }
    made = {
        name: scripted(store, f"{name}-1.0", *_script(name, directory, given)) for name in _PACKAGES
    }
    links = "\n".join(f'ln -s "${name}" "$out/{name}"' for name in (*made, "set"))
    return scripted(
        store, "system-containers", f'mkdir "$out"\n{links}', directory, {**made, "set": root}
    )


def _script(name: str, directory: Path, given: Given) -> tuple[str, Path, Given]:
    shell = _SCRIPTS / f"{name}.sh"
    if shell.exists():
        return shell.read_text(), directory, given
    run = 'export PYTHONHASHSEED=0\n"$python/bin/python3.11" -B -I "$script"'
    return run, directory, {**given, "script": _SCRIPTS / f"{name}.py"}

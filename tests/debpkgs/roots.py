"""One system root: planned from the index, then fetched, written down and built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .download import archive_path, download
from .expression import Archive, expression, write_expression
from .graph import build_graph
from .index import Index, Package
from .replacement import Edit, edit_archive
from .resolve import resolve
from .sets import DEBIAN_12, SETS
from .store import PrivateStore
from .variants import Choice


@dataclass(frozen=True)
class RootPlan:
    """A root that could be built: its expression, and the archives that must be there first."""

    text: str
    packages: tuple[Package, ...]
    edited: Mapping[Path, tuple[Package, Edit]]
    archives: Path

    @property
    def content(self) -> str:
        """The expression without the place of its archives, whose names tell their content."""
        return self.text.replace(f"{self.archives}/", "")

    def write(self, directory: Path) -> Path:
        """Fetches and edits the archives, then writes the expression; the file's path."""
        download(self.packages, self.archives)
        for target, (package, edit) in self.edited.items():
            if not target.exists():
                edit_archive(archive_path(package, self.archives), target, edit)
        return write_expression(self.text, directory)

    def build(self, store: PrivateStore, directory: Path) -> str:
        """Writes the expression into a directory and builds it; the root's store path."""
        return store.build(self.write(directory), "root")


def plan_root(index: Index, set_name: str, choice: Choice, archives: Path) -> RootPlan:
    """The plan of a set's root, with archives kept in `archives`."""
    if set_name not in SETS:
        raise ValueError(f"no package set {set_name!r}: choose {' or '.join(SETS)}")
    resolution = resolve(index, SETS[set_name], choice.pins, DEBIAN_12)
    places = {
        name: Archive(archive_path(package, archives), package.sha256)
        for name, package in resolution.packages.items()
    }
    edited: dict[Path, tuple[Package, Edit]] = {}
    for edit in choice.edits:
        package = resolution.packages[edit.package]
        target = archives / f"edited-{edit.digest(package.sha256)}.deb"
        places[edit.package] = Archive(target, None)
        edited[target] = (package, edit)
    # Old and new roots have one label: the names of two things compared must not differ.
    text = expression(resolution, build_graph(resolution, DEBIAN_12), places, set_name)
    return RootPlan(text, tuple(resolution.packages.values()), edited, archives)

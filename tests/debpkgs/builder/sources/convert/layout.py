"""Where every file of the outputs and of their dependencies is: Debian paths to store paths."""

import os
import posixpath
from collections.abc import Iterator

from .release import MULTIARCH

LIST = "nix-support/debian-files"


def hoist(path: str) -> str:
    """`usr/lib/x` and `lib/x` as `lib/x`."""
    return path.removeprefix("usr/")


def is_library(path: str) -> bool:
    """Whether a path, relative to an output, is where the loader would look for a library."""
    return path.startswith("lib") and ".so" in path.rpartition("/")[2]


class Layout:
    """The files of this derivation's outputs, and those its dependencies list.

    Paths are relative to an output. A reference is answered only if Nix allows it: an output may
    refer to itself and to earlier outputs.
    """

    def __init__(self, outputs: dict[str, str], dependencies: list[str], store: str) -> None:
        self.outputs = outputs
        self.dependencies = dependencies
        self.store = store
        self.rank = {output: number for number, output in enumerate(outputs)}
        self.own: dict[str, str] = {}
        self.own_directories: dict[str, list[str]] = {}
        self.own_libraries: dict[str, list[tuple[str, str]]] = {}
        self.foreign: dict[str, str] = {}
        self.foreign_directories: dict[str, list[str]] = {}
        self.foreign_libraries: dict[str, list[tuple[str, str]]] = {}
        self._scan_outputs()
        for path, output in self.own.items():
            if is_library(path):
                self.own_libraries.setdefault(posixpath.basename(path), []).append((path, output))
        for dependency in dependencies:
            self._read_list(dependency)

    def _scan_outputs(self) -> None:
        self.own.clear()
        self.own_directories.clear()
        for output, root in self.outputs.items():
            for directory, subdirectories, files in os.walk(root):
                subdirectories.sort()
                relative = os.path.relpath(directory, root)
                prefix = "" if relative == "." else relative + "/"
                for name in sorted(files):
                    self.own.setdefault(prefix + name, output)
                for name in subdirectories:
                    if os.path.islink(os.path.join(directory, name)):
                        self.own.setdefault(prefix + name, output)
                    else:
                        self.own_directories.setdefault(prefix + name, []).append(output)

    def _read_list(self, dependency: str) -> None:
        path = os.path.join(dependency, LIST)
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                self._add_foreign(line.rstrip("\n"), dependency)

    def _add_foreign(self, path: str, dependency: str) -> None:
        if path.endswith("/"):
            self.foreign_directories.setdefault(path[:-1], []).append(dependency)
            return
        self.foreign.setdefault(path, dependency)
        if is_library(path):
            name = posixpath.basename(path)
            self.foreign_libraries.setdefault(name, []).append((path, dependency))

    def write_lists(self) -> None:
        """Leaves in each output the list of its files, for the derivations that depend on it."""
        self._scan_outputs()
        for output, root in self.outputs.items():
            paths = [path for path, owner in self.own.items() if owner == output]
            paths += [
                path + "/" for path, owners in self.own_directories.items() if output in owners
            ]
            kept = sorted(p for p in paths if not p.startswith(("nix-support/", "share/doc/")))
            os.makedirs(os.path.join(root, "nix-support"), exist_ok=True)
            with open(
                os.path.join(root, LIST), "w", encoding="utf-8", errors="surrogateescape"
            ) as lines:
                lines.write("\n".join(kept) + "\n")

    def allowed(self, output: str, referrer: str) -> bool:
        """Whether one output may refer to another."""
        return self.rank[output] <= self.rank[referrer]

    def _own_path(self, owner: str, path: str, referrer: str) -> str | None:
        return f"{self.outputs[owner]}/{path}" if self.allowed(owner, referrer) else None

    def lookup(self, absolute: str, referrer: str) -> str | None:
        """The store path of a Debian path, as the output `referrer` may name it."""
        path = hoist(posixpath.normpath(absolute).lstrip("/"))
        if not path:
            return None
        if path in self.own:
            return self._own_path(self.own[path], path, referrer)
        if path in self.foreign:
            return f"{self.foreign[path]}/{path}"
        if "/" in path:
            # a directory has a place in the store only if one path alone holds it
            own = self.own_directories.get(path, [])
            foreign = self.foreign_directories.get(path, [])
            if len(own) == 1 and (not foreign or (path.count("/") >= 2 and path != MULTIARCH)):
                return self._own_path(own[0], path, referrer)
            if len(foreign) == 1 and not own:
                return f"{foreign[0]}/{path}"
        return self._through_link(path, referrer)

    def _through_link(self, path: str, referrer: str) -> str | None:
        """Finds a path below a directory that is a link (share/perl/5.36 leads to 5.36.0)."""
        head, _, tail = path.rpartition("/")
        while head:
            owner = self.own.get(head)
            if owner is not None:
                candidate = f"{self.outputs[owner]}/{head}/{tail}"
                if os.path.lexists(candidate) and self.allowed(owner, referrer):
                    return candidate
            if head in self.foreign:
                candidate = f"{self.foreign[head]}/{head}/{tail}"
                if os.path.lexists(candidate):
                    return candidate
            head, _, last = head.rpartition("/")
            tail = f"{last}/{tail}"
        return None

    def regular_files(self) -> Iterator[tuple[str, str, os.stat_result]]:
        """Each regular file once, however many hard links it has: output, path, status."""
        seen: set[tuple[int, int]] = set()
        for output, root in self.outputs.items():
            for directory, subdirectories, names in os.walk(root):
                subdirectories.sort()
                for name in sorted(names):
                    path = os.path.join(directory, name)
                    if os.path.islink(path) or not os.path.isfile(path):
                        continue
                    status = os.stat(path)
                    if (status.st_ino, status.st_dev) not in seen:
                        seen.add((status.st_ino, status.st_dev))
                        yield output, path, status

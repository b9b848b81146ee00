"""Little programs and libraries compiled on the spot, as store objects."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from tests.store_objects import Contents, add_object, named_path


class Workshop:
    """Compiles into a store.

    Attributes:
        store: its store directory is where it really is, so that programs can be run.
    """

    def __init__(self, store: LocalStore, directory: Path) -> None:
        self.store = store
        self._directory = directory
        directory.mkdir()

    def full(self, path: StorePath) -> str:
        return self.store.store_dir.path(path)

    def derivation(self, name: str) -> StorePath:
        """A name for a build; nothing is there."""
        return named_path(f"{name}.drv", self.store.store_dir)

    def compiled(
        self,
        source: str,
        *,
        against: Iterable[StorePath] = (),
        flags: Sequence[str] = (),
        version_script: str | None = None,
    ) -> bytes:
        """A shared library, or a program if `flags` do not say -shared."""
        (self._directory / "source.c").write_text(source)
        command = ["gcc", "-w", "-O1", "-o", "made", "source.c"]
        command += ["-Wl,--enable-new-dtags,--no-as-needed,--allow-shlib-undefined", *flags]
        if version_script is not None:
            (self._directory / "versions").write_text(version_script)
            command.append("-Wl,--version-script=versions")
        for path in against:
            libraries = sorted(Path(self.store.tree(path), "lib").iterdir())
            command += [str(one) for one in libraries]
            command.append(f"-Wl,-rpath,{self.full(path)}/lib")
        subprocess.run(command, cwd=self._directory, check=True)
        return (self._directory / "made").read_bytes()

    def library(
        self,
        name: str,
        source: str,
        *,
        soname: str = "libfoo.so.1",
        file: str = "libfoo.so.1",
        against: Iterable[StorePath] = (),
        flags: Sequence[str] = (),
        version_script: str | None = None,
        deriver: StorePath | None = None,
        more: Mapping[str, Contents] | None = None,
    ) -> StorePath:
        """An object with one library."""
        against = list(against)
        made = self.compiled(
            source,
            against=against,
            flags=["-shared", "-fPIC", f"-Wl,-soname,{soname}", *flags],
            version_script=version_script,
        )
        contents = {"lib": {file: made}, **(more or {})}
        return add_object(self.store, name, contents, against, deriver=deriver)

    def program(
        self,
        name: str,
        source: str,
        against: Iterable[StorePath],
        *,
        flags: Sequence[str] = (),
        deriver: StorePath | None = None,
        references: Iterable[StorePath] = (),
    ) -> StorePath:
        """An object with one program."""
        against = list(against)
        made = self.compiled(source, against=against, flags=flags)
        return add_object(
            self.store, name, {"bin": {"run": made}}, [*against, *references], deriver=deriver
        )


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Starts a program by the machine's loader, for objects have no executable files."""
    return subprocess.run(
        ["/lib64/ld-linux-x86-64.so.2", program], capture_output=True, text=True, check=False
    )

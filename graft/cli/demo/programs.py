"""The demo's programs: the files of each store object, compiled or as scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from graft.errors import GraftError

_PLACEHOLDER = re.compile(r"@([a-z][a-z0-9.-]*)@")
_COMPILERS = ("cc", "gcc", "clang")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoText:
    """A file with a text; `@NAME@` in it stands for an object's path, `@out@` for its own."""

    text: str
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoLink:
    """A symlink; its target may hold `@NAME@`."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A file made from C.

    Attributes:
        text: the source.
        arguments: for the compiler; they may hold `@NAME@`.
    """

    text: str
    arguments: tuple[str, ...]


Part = DemoText | DemoLink | Compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one store object is made.

    Attributes:
        name: the name of the store path, after the hash part.
        parts: its files, by their paths inside the object.
    """

    name: str
    parts: Mapping[str, Part]

    @property
    def inputs(self) -> list[str]:
        """The names of the recipes whose paths go into this object, sorted."""
        found = {
            name
            for part in self.parts.values()
            for text in _texts(part)
            for name in _PLACEHOLDER.findall(text)
        }
        return sorted(found - {"out"})


def _texts(part: Part) -> tuple[str, ...]:
    match part:
        case DemoText(text=text):
            return (text,)
        case DemoLink(target=target):
            return (target,)
        case Compiled(arguments=arguments):
            return arguments


def filled(text: str, paths: Mapping[str, str]) -> str:
    """A text with every `@NAME@` replaced by the full path of that name."""
    return _PLACEHOLDER.sub(lambda found: paths[found[1]], text)


def find_compiler() -> str | None:
    """The C compiler of this machine, if there is one whose programs run."""
    for name in _COMPILERS:
        compiler = shutil.which(name)
        if compiler is not None and _works(compiler):
            return compiler
    return None


def _works(compiler: str) -> bool:
    """Whether it finds the C library's headers, and its programs run here."""
    with tempfile.TemporaryDirectory() as directory:
        source, program = Path(directory, "trial.c"), Path(directory, "trial")
        source.write_text('#include <stdio.h>\nint main(void) { return puts("") < 0; }\n')
        try:
            for command in ([compiler, "-o", str(program), str(source)], [str(program)]):
                subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return False
    return True


def compile_c(compiler: str, part: Compiled, output: Path, paths: Mapping[str, str]) -> None:
    """Compiles one file.

    Raises:
        GraftError: the compiler refused.
    """
    arguments = [filled(argument, paths) for argument in part.arguments]
    # The file's name gets into the bytes: it is the one of the derivation's script.
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "source.c").write_text(part.text, encoding="utf-8")
        command = [compiler, "-O2", "-o", str(output), "source.c", *arguments]
        done = subprocess.run(command, cwd=directory, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise GraftError(
            f"the compiler '{compiler}' cannot make the demo's programs: "
            f"{' '.join(done.stderr.split())}",
            compiler=compiler,
        )


@cache
def _source(name: str) -> str:
    return files("graft.cli.demo").joinpath(name).read_text(encoding="utf-8")


def recipes(*, compiled: bool) -> list[Recipe]:
    """Every object of the demo's store, each after the objects it is built from.

    Args:
        compiled: the libraries and the program from C, linked by RPATH; else all of it scripts.
    """
    make = _compiled if compiled else _scripts
    return [*make(), *_above()]


def _notes() -> dict[str, Part]:
    return {
        "share/notes/todo": DemoText(text="buy milk\nupdate parse\n"),
        "share/password": DemoText(text="hunter2\n"),
    }


def _compiled() -> list[Recipe]:
    def library(soname: str, source: str, *arguments: str) -> dict[str, Part]:
        flags = ("-shared", "-fPIC", "-Xlinker", "-soname", "-Xlinker", soname, *arguments)
        return {f"lib/{soname}": Compiled(text=_source(source), arguments=flags)}

    def linked(library: str) -> tuple[str, ...]:
        return library, "-Xlinker", "-rpath", "-Xlinker", library.rpartition("/")[0]

    parse = linked("@parse-1.0@/lib/libparse.so.1")
    notes = Compiled(
        text=_source("notes-2.3.c"),
        arguments=(
            *linked("@shelf-0.4@/lib/libshelf.so.1"),
            '-DNOTES_DIRECTORY="@out@/share/notes"',
        ),
    )
    return [
        Recipe(name="parse-1.0", parts=library("libparse.so.1", "parse-1.0.c")),
        Recipe(name="parse-1.1", parts=library("libparse.so.1", "parse-1.1.c")),
        Recipe(name="shelf-0.4", parts=library("libshelf.so.1", "shelf-0.4.c", *parse)),
        Recipe(name="notes-2.3", parts={"bin/notes": notes, **_notes()}),
    ]


def _scripts() -> list[Recipe]:
    notes = DemoText(text=_source("notes-2.3.sh"), executable=True)
    return [
        Recipe(name="parse-1.0", parts={"lib/parse.sh": DemoText(text=_source("parse-1.0.sh"))}),
        Recipe(name="parse-1.1", parts={"lib/parse.sh": DemoText(text=_source("parse-1.1.sh"))}),
        Recipe(name="shelf-0.4", parts={"lib/shelf.sh": DemoText(text=_source("shelf-0.4.sh"))}),
        Recipe(name="notes-2.3", parts={"bin/notes": notes, **_notes()}),
    ]


def _above() -> list[Recipe]:
    """The objects above the program: the same for compiled programs and scripts."""
    return [
        Recipe(
            name="hello-1.0",
            parts={"bin/hello": DemoText(text=_source("hello-1.0.sh"), executable=True)},
        ),
        Recipe(
            name="notes-wrapped-2.3",
            parts={
                "bin/notes": DemoText(text=_source("wrapper-2.3.sh"), executable=True),
                "nix-support/pivots/parser": DemoText(text=""),
            },
        ),
        Recipe(
            name="environment",
            parts={
                "bin/hello": DemoLink(target="@hello-1.0@/bin/hello"),
                "bin/notes": DemoLink(target="@notes-wrapped-2.3@/bin/notes"),
            },
        ),
        Recipe(
            name="system-1",
            parts={
                "sw": DemoLink(target="@environment@"),
                "etc/issue": DemoText(text="The system of graft's demo\n"),
            },
        ),
    ]

"""The derivations of the demo's objects: with them the price of a rebuild is known.

Source: hashDerivationModulo in src/libstore/derivations.cc of Nix: the path of an output comes from
its derivation, in which inputs stand by their own hashes, and the output's path is left out.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graft.cli.demo.programs import Compiled, DemoLink, DemoText, Part, Recipe
from graft.formats.store_path import StoreDir, StorePath, make_store_path, make_text_path

_END: Final = "END OF FILE"
_TEXT: Final = f"<<'{_END}'"
_ESCAPED: Final = str.maketrans({'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDerivation:
    """The derivation of one object.

    Attributes:
        output: the object's path.
        path: the path of the derivation.
        text: its file.
        inputs: the derivations it needs.
        modulo: the hash by which other derivations know it, in base 16.
    """

    output: StorePath
    path: StorePath
    text: bytes
    inputs: frozenset[StorePath]
    modulo: str


def derivations_of(
    recipes: Sequence[Recipe], store_dir: StoreDir, compiler: str | None
) -> dict[str, DemoDerivation]:
    """The derivation of each recipe, by its name; nothing needs to be built for that.

    Args:
        recipes: each after its inputs.
        compiler: the compiler of its programs.
    """
    found: dict[str, DemoDerivation] = {}
    for recipe in recipes:
        inputs = [found[name] for name in recipe.inputs]
        paths = {name: store_dir.path(found[name].output) for name in recipe.inputs}
        script = _script(recipe, paths, compiler)

        def text(
            out: str, inputs: Iterable[str], *, name: str = recipe.name, script: str = script
        ) -> bytes:
            return _aterm(name, out, inputs, script)

        hashes = sorted(one.modulo for one in inputs)
        masked = hashlib.sha256(text("", hashes)).digest()
        output = make_store_path("output:out", masked, recipe.name, store_dir)
        full = store_dir.path(output)
        needed = frozenset(one.path for one in inputs)
        file = text(full, map(store_dir.path, sorted(needed)))
        found[recipe.name] = DemoDerivation(
            output=output,
            path=make_text_path(
                f"{recipe.name}.drv",
                hashlib.sha256(file).digest(),
                store_dir,
                references=needed,
            ),
            text=file,
            inputs=needed,
            modulo=hashlib.sha256(text(full, hashes)).hexdigest(),
        )
    return found


def _aterm(name: str, out: str, inputs: Iterable[str], script: str) -> bytes:
    system = f"{platform.machine()}-linux"
    environment = {
        "PATH": _PATH,
        "builder": "/bin/sh",
        "name": name,
        "out": out,
        "script": script,
        "system": system,
    }
    parts = (
        _list([f"({_strings('out', out, '', '')})"]),
        _list([f'({_strings(one)},["out"])' for one in inputs]),
        _list([]),
        _strings(system),
        _strings("/bin/sh"),
        _list([_strings("-e", "-c", 'eval "$script"')]),
        _list([f"({_strings(*pair)})" for pair in environment.items()]),
    )
    return f"Derive({','.join(parts)})".encode()


def _strings(*texts: str) -> str:
    return ",".join(f'"{text.translate(_ESCAPED)}"' for text in texts)


def _list(terms: Iterable[str]) -> str:
    return f"[{','.join(terms)}]"


def _script(recipe: Recipe, paths: Mapping[str, str], compiler: str | None) -> str:
    """The shell script that makes an object as the demo does."""
    return "\n".join(_lines(recipe.parts, paths, compiler)) + "\n"


def _lines(
    parts: Mapping[str, Part], paths: Mapping[str, str], compiler: str | None
) -> Iterable[str]:
    def known(text: str) -> str:
        return re.sub(r"@([a-z][a-z0-9.-]*)@", lambda one: paths.get(one[1], one[0]), text)

    def word(text: str) -> str:
        return shlex.quote(known(text)).replace("@out@", "'\"$out\"'")

    for name, part in sorted(parts.items()):
        file = f'"$out"/{shlex.quote(name)}'
        yield f'mkdir -p "$(dirname {file})"'
        match part:
            case DemoText(text=text, executable=executable):
                yield f"sed \"s|@out@|$out|g\" <<'{_END}' >{file}"
                yield known(text) + _END
                if executable:
                    yield f"chmod +x {file}"
            case DemoLink(target=target):
                yield f"ln -s {word(target)} {file}"
            case Compiled(text=text, arguments=arguments):
                words = " ".join(map(word, arguments))
                yield f"cat >source.c <<'{_END}'"
                yield text + _END
                yield f"{compiler} -O2 -o {file} source.c {words}"

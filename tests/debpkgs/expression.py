"""The derivation graph written as a Nix expression, beside the builder it calls."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .graph import Graph, Node
from .resolve import Resolution

BUILDER = Path(__file__).parent / "builder"


@dataclass(frozen=True)
class Archive:
    """A .deb on disk; `sha256` is None where it is not known before the file is made."""

    path: Path
    sha256: str | None


def expression(
    resolution: Resolution, graph: Graph, archives: Mapping[str, Archive], label: str
) -> str:
    """The Nix expression of a set; its attribute `root` is the system root."""
    versions = {name: _clean_version(p.version) for name, p in resolution.packages.items()}
    wanted = dict.fromkeys(_reference(*graph.place[name]) for name in resolution.wanted)
    lines = ["let", "  mk = import ./mk.nix;", "  pkgs = rec {"]
    lines += [_derivation(graph.nodes[name], graph, archives, versions) for name in graph.order]
    lines += [
        "  };",
        "in with pkgs; rec {",
        "  inherit pkgs;",
        f"  tops = [ {' '.join(wanted)} ];",
        *(
            f"  {role} = {_reference(*graph.place[package])};"
            for role, package in _ROOT_INPUTS.items()
            if package in graph.place
        ),
        "  extra = import ./extra.nix { inherit bash coreutils tzdata cacert glibc; };",
        f'  path = import ./env.nix {{ name = "{label}-path"; paths = tops ++ extra.all; }};',
        "  root = import ./system.nix {",
        f'    name = "system-{label}";',
        "    inherit path extra bash coreutils tzdata cacert;",
        "  };",
        "}",
    ]
    return "\n".join(lines) + "\n"


_ROOT_INPUTS = {
    "bash": "bash",
    "coreutils": "coreutils",
    "tzdata": "tzdata",
    "cacert": "ca-certificates",
    "glibc": "libc6",
}


def _derivation(
    node: Node, graph: Graph, archives: Mapping[str, Archive], versions: Mapping[str, str]
) -> str:
    debs = " ".join(
        f'"{output}=${{{_import(archives[name], name, versions[name])}}}"'
        for output, names in node.outputs.items()
        for name in names
    )
    deps = " ".join(
        _reference(other, output)
        for other in graph.inputs(node.name)
        for output in graph.nodes[other].outputs
    )
    outputs = " ".join(f'"{output}"' for output in node.outputs)
    name = f"{_clean_name(node.name)}-{versions[node.main_package]}"
    return (
        f'    {_identifier(node.name)} = mk {{ pname = "{node.name}"; name = "{name}";'
        f" outputs = [ {outputs} ]; debs = [ {debs} ]; deps = [ {deps} ]; }};"
    )


def _import(archive: Archive, name: str, version: str) -> str:
    # `/. + "..."`: a path literal may not hold every character a file name may
    pinned = f' recursive = false; sha256 = "{archive.sha256}";' if archive.sha256 else ""
    store_name = f"{_clean_name(name)}-{version}.deb"
    return f'builtins.path {{ path = /. + "{archive.path}"; name = "{store_name}";{pinned} }}'


def _reference(node: str, output: str) -> str:
    return _identifier(node) if output == "out" else f"{_identifier(node)}.{output}"


def _identifier(node: str) -> str:
    """A Nix identifier; the digest keeps names apart that differ in punctuation only."""
    digest = hashlib.sha256(node.encode()).hexdigest()[:4]
    return f"p_{re.sub(r'[^A-Za-z0-9_]', '_', node)}_{digest}"


def _clean_name(text: str) -> str:
    # store names allow no `~`, `:` and `%`, all common in Debian versions
    return re.sub(r"[^A-Za-z0-9+._?=-]", "", text)


def _clean_version(version: str) -> str:
    without_epoch = version.rpartition(":")[2]
    return _clean_name(without_epoch.replace("~", "."))


def builder_files() -> list[Path]:
    """The builder's own sources, relative to its directory, sorted."""
    found = (p for p in BUILDER.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return sorted(p.relative_to(BUILDER) for p in found)


def write_expression(text: str, directory: Path) -> Path:
    """Writes the expression and a copy of the builder into a directory; the .nix file's path."""
    # A copy, for Nix imports directories whole, and byte code left beside the sources by a test
    # run would change every store path.
    for relative in builder_files():
        target = directory / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(BUILDER / relative, target)
    file = directory / "default.nix"
    file.write_text(text)
    return file

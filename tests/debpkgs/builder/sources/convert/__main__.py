"""The order of the work: unpack, links, ELF files, text, hooks, byte code, the list of files."""

import os
import sys

from . import bytecode, hooks, links, loader, text, unpack
from .layout import Layout


def main() -> None:
    """Builds one derivation's outputs, as a Nix builder."""
    attributes = os.environ  # a derivation's attributes are its builder's environment
    top = attributes["NIX_BUILD_TOP"]
    os.chdir(top)
    name = attributes["pname"]
    outputs = {output: attributes[output] for output in attributes["outputs"].split()}
    for number, item in enumerate(attributes["debs"].split()):
        output, _, archive = item.partition("=")
        unpack.unpack(archive, os.path.join(top, f"unpacked-{number}"), outputs[output])
    layout = Layout(outputs, attributes.get("deps", "").split(), attributes["NIX_STORE"])
    relinked = links.relink(layout)
    if name == "glibc":
        loader.blind_to_the_host(outputs["out"])
        patched, missing = 0, set[str]()
    else:
        patched, missing = loader.patch_all(layout)
    changed, scripts = text.rewrite_all(layout)
    hooks.run(name, layout, scripts)
    bytecode.compile_all(name, layout)
    layout.write_lists()
    print(
        f"{name}: {patched} ELF, {relinked} links, {changed} texts; not found: {sorted(missing)}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()

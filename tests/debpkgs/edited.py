"""Variants of a store path: what a fix of a package that Debian does not offer would be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .store import PrivateStore

# The hash parts are of one length, so offsets in binaries stay what they were.
_COPY = """
set -e
export PATH=/usr/bin:/bin LC_ALL=C
cp -r "$old" "$out"
chmod -R u+w "$out"
cd "$out"
before=${old##*/} after=${out##*/}
before=${before%%-*} after=${after%%-*}
grep -rlF "$before" . | xargs -r sed -i "s/$before/$after/g"
find . -type l -lname "*$before*" | while read -r link; do
  ln -sfn "$(readlink "$link" | sed "s/$before/$after/g")" "$link"
done
"""


def edited(
    store: PrivateStore,
    old: str,
    script: str,
    directory: Path,
    files: Mapping[str, Path] | None = None,
) -> str:
    """Builds a copy of a store path, of the same name, and edits it.

    Args:
        script: for a shell, in the copy, with the machine's programs.
        directory: where the expression is written.
        files: what is given to the script, by the names of the variables.
    """
    file = directory / "edited.nix"
    given = "".join(f' {name} = /. + "{path}";' for name, path in (files or {}).items())
    file.write_text(f"""\
{{ old, script }}: {{
  edited = derivation {{
    name = "{os.path.basename(old)[33:]}";
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" script ];
    old = builtins.storePath old;{given}
  }};
}}
""")
    return store.run(
        *("nix-build", str(file), "-A", "edited", "--no-out-link"),
        *("--argstr", "old", old, "--argstr", "script", _COPY + script),
    ).splitlines()[-1]

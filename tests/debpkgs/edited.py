"""Store paths made in a checked-out store: what Debian has not, and variants of what it has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .store import PrivateStore

Given = Mapping[str, Path | str]
_NOTHING: Given = {}

_BEGIN = """
set -e
export PATH=/usr/bin:/bin LC_ALL=C
umask 022
"""

# The hash parts are of one length, so offsets in binaries stay what they were.
_COPY = """
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


def scripted(
    store: PrivateStore,
    name: str,
    script: str,
    directory: Path,
    given: Given = _NOTHING,
) -> str:
    """Builds what a shell script puts at $out, with the machine's programs.

    Args:
        directory: where the expression is written.
        given: by the names of variables, files that the script gets copies of, and store paths
            that it may refer to.
    """
    inputs = [
        f'    {variable} = /. + "{one}";'
        if isinstance(one, Path)
        else f'    {variable} = builtins.storePath "{one}";'
        for variable, one in given.items()
    ]
    expression = directory / "scripted.nix"
    expression.write_text(
        "\n".join(
            [
                "{ name, script }: {",
                "  made = derivation {",
                "    inherit name;",
                '    system = "x86_64-linux";',
                '    builder = "/bin/sh";',
                '    args = [ "-c" script ];',
                *inputs,
                "  };",
                "}",
            ]
        )
    )
    return store.run(
        *("nix-build", str(expression), "-A", "made", "--no-out-link"),
        *("--argstr", "name", name, "--argstr", "script", _BEGIN + script),
    ).splitlines()[-1]


def edited(
    store: PrivateStore, old: str, script: str, directory: Path, given: Given = _NOTHING
) -> str:
    """Builds a copy of a store path, of the same name, in which a script changes something.

    Args:
        script: begins in the copy; for the rest as in `scripted`.
    """
    name = os.path.basename(old)[33:]
    return scripted(store, name, _COPY + script, directory, {"old": old, **given})

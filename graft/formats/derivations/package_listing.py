"""Lists of packages as `nix-env -qaP --drv-path --out-path` prints them.

Source: opQuery in src/nix-env/nix-env.cc of Nix. A line is some columns with spaces between them:
the attribute, the name unless `--no-name` was given, any other columns asked for, the derivation's
path, and the outputs' paths. Only the attribute and the derivation's path are read: the derivation
says the outputs.
"""

from __future__ import annotations

from graft.errors import BadFormatError, BadStorePathError
from graft.formats.store_path import StoreDir, StorePath


def parse_package_listing(
    text: str, store_dir: StoreDir, name: str
) -> list[tuple[str | None, StorePath]]:
    """Reads a list.

    Args:
        name: the list's name in errors.

    Returns:
        Each attribute, None where a line has nothing but the path, and its `.drv`.

    Raises:
        BadFormatError: a line has no derivation, or an attribute is there twice.
    """
    found: list[tuple[str | None, StorePath]] = []
    attributes: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        columns = line.split()
        if not columns:
            continue
        paths = [column for column in columns if column.endswith(".drv")]
        try:
            path = store_dir.parse(paths[-1]) if paths else None
        except BadStorePathError:
            path = None
        if path is None:
            raise BadFormatError(
                f"'{name}', line {number}: no path of a derivation in '{store_dir}'; list packages "
                "with 'nix-env -qaP --drv-path --out-path'",
                file=name,
                line=number,
            )
        attribute = columns[0] if columns[0] != paths[-1] else None
        if attribute is not None and attributes.setdefault(attribute, number) != number:
            before = attributes[attribute]
            raise BadFormatError(
                f"'{name}', line {number}: '{attribute}' is in line {before} as well",
                file=name,
                line=number,
            )
        found.append((attribute, path))
    return found

"""Names from contents held against what was written: another store will compute them again."""

from __future__ import annotations

import os

from graft.errors import ContentAddressError
from graft.fixing import look_inside
from graft.fixups import registered
from graft.formats.file_name import printable
from graft.formats.store_path import StoreDir
from graft.plan import ContentName, Rewrite
from graft.reading import as_tree, read_object
from graft.references import WantedPaths
from graft.rewrite import RewrittenObject
from graft.store.objects import StoreObject
from graft.tree import read_tree


def check_content(
    name: ContentName | None,
    made: RewrittenObject,
    original: StoreObject,
    rewrite: Rewrite,
    store_dir: StoreDir,
) -> None:
    """Makes sure that a path was made with the contents it is named after.

    Args:
        name: what the path's name comes from; None: not from contents.
        made: what came of it.
        original: what it was made from.

    Raises:
        ContentAddressError: it was not, and why.
    """
    if name is None or made.content_hash == name.digest:
        return
    full = store_dir.path(rewrite.path)
    wanted = WantedPaths([rewrite.path])
    report = read_object(original, wanted=wanted.table, sink=lambda _: None, places=True)
    for place in wanted.places(report):
        file = printable(place.file)
        if place.encoding != "ascii":
            raise ContentAddressError(
                f"'{full}' holds its own name in {place.encoding} in the file '{file}', which no "
                "content address allows for: graft it without --content-addressed, or cut it off",
                path=full,
                file=file,
            )
        if place.where == "name":
            raise ContentAddressError(
                f"'{full}' has its own name in that of the file '{file}', whose place in the order "
                "depends on it: graft it without --content-addressed, or cut it off",
                path=full,
                file=file,
            )
    registry = registered(rewrite.fixups)
    with as_tree(original) as at:
        marked = read_tree(at.tree, marks=registry.searched_marks).marked
        for found in look_inside(os.fsencode(at.tree), marked, registry, wanted.table):
            if found.places:
                file = printable(found.file)
                raise ContentAddressError(
                    f"'{full}' holds its own name inside of the file '{file}', which no content "
                    "address allows for: graft it without --content-addressed, or cut it off",
                    path=full,
                    file=file,
                )
    raise ContentAddressError(
        f"the bytes of '{full}' are no longer those its new name was computed from: something "
        "changes them; run the same command again",
        path=full,
    )

"""Names from contents compared with the written bytes: another store will compute them again."""

from __future__ import annotations

from graft.errors import ContentAddressError
from graft.formats.file_name import printable
from graft.formats.store_path import StoreDir
from graft.objects.reading import search_object
from graft.objects.rewrite import RewrittenObject
from graft.objects.search import DeepSearch
from graft.plan import ContentName, Rewrite
from graft.store.objects import StoreObject


def check_content(
    name: ContentName | None,
    made: RewrittenObject,
    original: StoreObject,
    rewrite: Rewrite,
    store_dir: StoreDir,
) -> None:
    """Makes sure that a path was made with the contents it is named after.

    Args:
        name: the origin of the path's name; None if it does not come from contents.
        made: the result of making the path.
        original: the path that it was made from.

    Raises:
        ContentAddressError: it was not, and why.
    """
    if name is None or made.content_hash == name.digest:
        return
    full = store_dir.path(rewrite.path)
    search = DeepSearch([rewrite.path], store_dir=store_dir)
    found = search_object(original, search, places=True)
    for place in found.report.found:
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
                f"'{full}' has its own name in the name of the file '{file}', whose place in the "
                "order depends on it: graft it without --content-addressed, or cut it off",
                path=full,
                file=file,
            )
    hidden = [printable(place.file) for place in found.hidden if not place.is_spelled]
    if hidden:
        raise ContentAddressError(
            f"'{full}' holds its own name inside of the file '{hidden[0]}', which no content "
            "address allows for: graft it without --content-addressed, or cut it off",
            path=full,
            file=hidden[0],
        )
    raise ContentAddressError(
        f"the bytes of '{full}' are no longer those its new name was computed from: something "
        "changes them; run the same command again",
        path=full,
    )

"""Replacements files, as text and as JSON, and graft's JSON documents, which hold replacements too.

The forms are in docs/reference/formats.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from graft.errors import BadFormatError

DOCUMENT_VERSION: Final = 1
"""The version of every JSON document of graft's."""


def parse_replacements(text: str, name: str) -> tuple[tuple[str, str], ...]:
    """Reads a replacements file: JSON, or a pair `OLD NEW` a line; `#` begins a comment.

    Returns:
        Pairs of path arguments.

    Raises:
        BadFormatError: the file has neither form.
    """
    if text.lstrip().startswith("{"):
        return replacement_pairs(json_document(text, name), name)
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if len(words) != 2:
            raise BadFormatError(
                f"'{name}', line {number}: a replacement is two paths, 'OLD NEW'",
                file=name,
                line=number,
            )
        pairs.append((words[0], words[1]))
    return tuple(pairs)


def json_document(text: str, name: str) -> dict[str, Any]:
    """Reads a JSON document of graft's.

    Args:
        name: the file's name in errors.

    Raises:
        BadFormatError: it is no JSON, or no document of this version.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFormatError(f"'{name}' is not json: {str(error).lower()}", file=name) from error
    if not isinstance(document, dict) or document.get("version") != DOCUMENT_VERSION:
        raise BadFormatError(
            f"'{name}' is no document of graft's, version {DOCUMENT_VERSION}", file=name
        )
    return document


def replacement_pairs(document: Mapping[str, Any], name: str) -> tuple[tuple[str, str], ...]:
    """The replacements a JSON document holds, as pairs of path arguments.

    Raises:
        BadFormatError: it holds no replacements.
    """
    value = document.get("replacements")
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise BadFormatError(f"'{name}': 'replacements' is no object of paths", file=name)
    return tuple(value.items())

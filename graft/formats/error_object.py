"""The error object of JSON documents: a kind, a sentence, and the objects of the sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graft.formats.file_name import printable_text


def system_message(error: OSError) -> str:
    """The sentence for an error of the system: the file, if there is one, and the reason."""
    place = f"'{error.filename}': " if error.filename is not None else ""
    return f"{place}{error.strerror or str(error)}"


def error_object(values: Mapping[str, Any]) -> dict[str, Any]:
    """The object of `kind`, `message` and further fields, each text as JSON can hold it.

    Args:
        values: JSON values; bytes that Python keeps as lone surrogates become `%XX`.
    """
    return {name: _printable(value) for name, value in values.items()}


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable_text(value)
    if isinstance(value, list | tuple):
        return list(map(_printable, value))
    return value

"""The error object, and the sentence for an error of the system."""

from __future__ import annotations

import errno
import json
import os

from graft.formats.error_object import error_object, system_message


def test_bytes_that_are_no_text_can_be_printed() -> None:
    name = os.fsdecode(b"a\xffb")
    found = error_object({"kind": "tree", "paths": (name, [name]), "number": 3})
    assert found == {"kind": "tree", "paths": ["a%FFb", ["a%FFb"]], "number": 3}
    assert json.dumps(found).encode("utf-8")


def test_the_sentence_names_the_file_and_the_reason() -> None:
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "/etc/x")
    assert system_message(missing) == "'/etc/x': No such file or directory"
    assert system_message(OSError("Odd")) == "Odd"

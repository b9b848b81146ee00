"""Command lines run on a store of a test."""

from __future__ import annotations

import json
from typing import Any

import pytest

from graft.cli import run


class CommandLine:
    """Runs command lines that begin with the same words."""

    def __init__(self, capsys: pytest.CaptureFixture[str], url: str, *words: str) -> None:
        self._capsys = capsys
        self.words = [f"--store={url}", *words]

    def __call__(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        """Output and errors of a command line that ends with `status`."""
        ended = run([*self.words, *arguments])
        captured = self._capsys.readouterr()
        assert ended == status, captured.err
        return captured.out, captured.err

    def json(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """The document that --json prints."""
        out, _ = self(*arguments, "--json", status=status)
        document = json.loads(out)
        assert isinstance(document, dict)
        assert next(iter(document.items())) == ("version", 1)
        return document

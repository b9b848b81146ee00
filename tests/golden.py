"""Golden files: what a test got before, and a person has looked at."""

from __future__ import annotations

from pathlib import Path


class Golden:
    def __init__(self, directory: Path, *, accept: bool) -> None:
        self._directory = directory
        self._accept = accept

    def check(self, name: str, text: str) -> None:
        file = self._directory / name
        if self._accept:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.exists(), f"no golden file {file}: run with --accept and review it"
        assert text == file.read_text(encoding="utf-8")

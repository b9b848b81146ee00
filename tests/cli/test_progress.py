"""Progress: a sign within a second on a terminal, and a line now and then elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios
import time

import pytest

from graft.cli import progress
from graft.cli.progress import Bars
from graft.cli.settings import Settings

_PROGRAM = """
import time
from graft.cli.progress import Bars
from graft.cli.settings import Settings
bars = Bars(Settings())
with bars("work", None):
    time.sleep(1.2)
    with bars("graft", 1000) as on_bytes:
        for _ in range(12):
            time.sleep(0.1)
            on_bytes(50)
"""


def _on_a_terminal(program: str) -> list[tuple[float, str]]:
    """All that a program writes to a terminal, with the seconds since its start."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 80))
    begin = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=follower, stdout=follower, stderr=follower
    ):
        os.close(follower)
        found = []
        while True:
            try:
                data = os.read(leader, 4096)
            except OSError:  # the program has ended
                break
            found.append((time.monotonic() - begin, data.decode()))
    os.close(leader)
    return found


def test_a_stage_without_an_end_shows_a_sign_and_gives_way_to_the_one_within() -> None:
    shown = _on_a_terminal(_PROGRAM)
    text = "".join(text for _, text in shown)
    assert re.search(r"working: 00:0\d", text)
    assert re.search(r"writing: +\d+%.*/0.98k", text)
    # The interpreter's start, and the first sign after less than a second.
    assert next(seconds for seconds, text in shown if "working" in text) < 3
    # Nothing stays on the line.
    assert text.rpartition("\r")[2].strip() == ""


def test_without_a_terminal_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "_LINE_EVERY_SECONDS", 0.05)
    with Bars(Settings())("graft", 1000) as on_bytes:
        on_bytes(250)
        time.sleep(0.2)
    first = stream.getvalue().splitlines()[0]
    assert re.fullmatch(r"graft: writing: 250 B/1000 B, 25%, about [\d.]+ m?s left", first)
    assert progress._BAR_AFTER_SECONDS < 1


def test_a_short_stage_and_a_quiet_one_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with Bars(Settings())("graft", 1000) as on_bytes:
        on_bytes(1000)
    monkeypatch.setattr(progress, "_LINE_EVERY_SECONDS", 0.01)
    with Bars(Settings(quiet=True))("graft", 1000) as on_bytes:
        on_bytes(10)
        time.sleep(0.05)
    assert stream.getvalue() == ""

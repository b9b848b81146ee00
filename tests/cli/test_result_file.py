"""Files of results: written whole, through links and into devices as a shell writes them."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from graft.cli.result_file import write_file


def test_a_file_gets_the_mode_of_the_mask_and_keeps_its_own(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    before = os.umask(0o027)
    try:
        write_file(str(file), "one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    file.chmod(0o604)
    write_file(str(file), "two")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("two", 0o604)
    assert os.listdir(tmp_path) == ["plan.json"]


def test_a_link_is_written_through_even_if_it_dangles(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    for text in ("longer", "new"):
        write_file(str(link), text)
        assert link.is_symlink()
        assert (tmp_path / "target").read_text() == text


def test_a_device_and_a_pipe_take_the_text(tmp_path: Path) -> None:
    write_file("/dev/null", "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_file(str(pipe), "text")
    reader.join()
    assert read == ["text"]
    with pytest.raises(OSError, match="No space left"):
        write_file("/dev/full", "text")


def test_a_name_that_somebody_has_laid_out_before_is_not_used(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    file = tmp_path / "plan.json"
    (tmp_path / f"plan.json.{os.getpid()}.tmp").symlink_to(victim)
    write_file(str(file), "text")
    assert (victim.read_text(), file.read_text()) == ("mine", "text")


def test_a_directory_that_is_missing_is_told_by_the_name_that_was_given(tmp_path: Path) -> None:
    file = str(tmp_path / "missing" / "plan.json")
    with pytest.raises(FileNotFoundError) as raised:
        write_file(file, "text")
    assert raised.value.filename == file

"""Connections to a database, against other holders of its locks."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from graft.store.local import LocalStore
from graft.store.local_store.connection import connect, has_dotfile
from graft.store.local_store.schema import GUIX, NIX
from tests.store_objects import add_object, new_store, opened

OFF = {"NIX_CONFIG": "use-sqlite-wal = false", "NIX_CONF_DIR": "/nonexistent", "PATH": ""}


def test_the_setting_decides_how_a_database_of_nix_is_locked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert has_dotfile(NIX, OFF)
    assert not has_dotfile(GUIX, OFF)
    assert not has_dotfile(NIX, OFF | {"NIX_CONFIG": "use-sqlite-wal = true"})
    assert not has_dotfile(NIX, OFF | {"NIX_CONFIG": ""})
    assert not caplog.text
    assert not has_dotfile(NIX, OFF | {"NIX_CONFIG": "include /nonexistent/file"})
    assert "'use-sqlite-wal' is not known" in caplog.text


def test_a_nix_before_dotfiles_locks_by_the_default_way(tmp_path: Path) -> None:
    program = tmp_path / "nix-store"
    program.write_text("#!/bin/sh\necho 'nix-store (Nix) 2.4'\n")
    program.chmod(0o755)
    assert not has_dotfile(NIX, OFF | {"PATH": f"{tmp_path}:/bin:/usr/bin"})


def _without_wal(store: LocalStore) -> str:
    file = os.path.join(store.location.database_dir, "db.sqlite")
    store.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma journal_mode = truncate")
    return file


def test_a_store_without_a_log_waits_for_a_writer_that_locks_by_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = new_store(tmp_path)
    path = add_object(store, "lib-1.0", b"x")
    file = _without_wal(store)
    monkeypatch.setenv("NIX_CONFIG", OFF["NIX_CONFIG"])
    with closing(connect(f"file:{file}?vfs=unix-dotfile")) as writer:
        writer.execute("begin exclusive")
        writer.execute("update ValidPaths set registrationTime = 4711")
        assert Path(f"{file}.lock").is_dir()
        threading.Timer(1.5, lambda: writer.execute("commit")).start()
        with opened(store.location) as other:
            assert other.path_infos([path])[path].registration_time == 4711
            assert add_object(other, "lib-1.1", b"y") in other.valid_paths()
    assert "waiting for another process that has locked the database" in caplog.text


def test_a_store_with_a_log_is_opened_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store(tmp_path)
    monkeypatch.setenv("NIX_CONFIG", OFF["NIX_CONFIG"])
    with opened(store.location) as other:
        assert add_object(other, "lib-1.0", b"x") in other.valid_paths()


def test_an_interrupt_ends_the_wait_for_a_database(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    file = os.path.join(store.location.database_dir, "db.sqlite")
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from graft.store.local_store.connection import connect\n"
        "print('ready', flush=True); connect(sys.argv[1]).execute('begin immediate')"
    )
    with closing(connect(f"file:{file}")) as writer:
        writer.execute("begin immediate")
        with subprocess.Popen(
            [sys.executable, "-c", program, f"file:{file}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as waiting:
            assert waiting.stdout is not None
            waiting.stdout.readline()
            time.sleep(0.7)
            assert waiting.poll() is None
            waiting.send_signal(signal.SIGINT)
            _, said = waiting.communicate(timeout=5)
        assert b"KeyboardInterrupt" in said

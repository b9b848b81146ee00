"""Programs run in namespaces by the real bubblewrap, and why they cannot be."""

from __future__ import annotations

import ctypes
import os
import pty
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.errors import NamespaceError
from graft.ways.namespace import View, command_line, run_program, why_unavailable

pytestmark = pytest.mark.needs("bwrap")

_WHOLE = ("--dev-bind", "/", "/")
_CLONE_NEWUSER = 0x10000000

# Runs its arguments as `graft mount` does.
_RUNNER = """
import os, sys
from graft.ways.namespace import View, run_program
sys.exit(run_program(["--dev-bind", "/", "/"], sys.argv[1:], os.environ, View({})))
"""

# Lives on after SIGINT, counts signals, and ends with status 5 once told to. A signal that comes
# just before a read would not end that: so it comes through a pipe as well.
_TOUGH = """
import os, select, signal, sys
signals, to_us = os.pipe()
os.set_blocking(to_us, False)
signal.set_wakeup_fd(to_us)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: None)
print("ready", flush=True)
count = 0
while signals in select.select([0, signals], [], [])[0]:
    for number in os.read(signals, 100):
        count += 1
        print("got", number, flush=True)
print(f"ends with {count}", flush=True)
sys.exit(5)
"""


def _run(*program: str) -> int:
    """In a process of its own: it waits for signals, and for all children."""
    return subprocess.run([sys.executable, "-c", _RUNNER, *program], check=False).returncode


def test_the_status_is_a_shells(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    assert _run("true") == 0
    assert _run("sh", "-c", "exit 7") == 7
    assert _run("sh", "-c", "kill -9 $$") == 137
    assert _run("no-such-program") == 127
    assert _run(str(tmp_path / "nowhere")) == 127
    assert _run(str(tmp_path / "text")) == 126
    assert _run(str(tmp_path)) == 126


def test_the_programs_environment_and_directory_are_ours(capfd: pytest.CaptureFixture[str]) -> None:
    status = run_program(
        _WHOLE, ["sh", "-c", 'echo "$ONE-$HOME"; pwd'], {"ONE": "1", "PATH": os.defpath}, View({})
    )
    assert status == 0
    assert capfd.readouterr().out == f"1-\n{os.getcwd()}\n"


def test_what_cannot_be_mounted_is_an_error_and_nothing_runs(tmp_path: Path) -> None:
    options = [*_WHOLE, "--ro-bind", str(tmp_path / "nowhere"), "/etc"]
    with pytest.raises(NamespaceError, match="Can't find source path"):
        run_program(options, ["touch", str(tmp_path / "made")], os.environ, View({}))
    assert os.listdir(tmp_path) == []


def test_the_terminals_interrupt_is_the_programs_affair() -> None:
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", _RUNNER, sys.executable, "-c", _TOUGH])
    text = _read_until(terminal, b"ready")
    os.write(terminal, b"\x03")
    text += _read_until(terminal, b"got 2")
    os.write(terminal, b"\n")
    text += _read_until(terminal, b"ends with 1\r\n")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 5
    os.close(terminal)
    assert text.count(b"got") == 1


def test_a_program_that_an_interrupt_ends_ends_us_with_its_status() -> None:
    process, terminal = pty.fork()
    if process == 0:
        command = ["sh", "-c", "echo ready; exec sleep 1000"]
        os.execv(sys.executable, [sys.executable, "-c", _RUNNER, *command])
    _read_until(terminal, b"ready")
    os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    os.close(terminal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_for_us_alone_is_passed_on(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _RUNNER, sys.executable, "-c", _TOUGH],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == f"got {number.value}\n"
        assert process.communicate("\n")[0] == "ends with 1\n"
        assert process.returncode == 5


def test_a_probe_can_stand_behind_another_program() -> None:
    command = command_line(_WHOLE, ["echo", "seen"])
    run = subprocess.run(["env", *command], check=True, capture_output=True, text=True)
    assert run.stdout == "seen\n"


def test_it_is_available_here() -> None:
    assert why_unavailable() is None


def test_without_bubblewrap_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    reason = why_unavailable()
    assert reason is not None
    assert reason.startswith("bubblewrap is not installed")
    with pytest.raises(NamespaceError, match="apt install bubblewrap"):
        run_program(_WHOLE, ["true"], os.environ, View({}))


@pytest.mark.skipif(os.geteuid() != 0, reason="maps a second user into a user namespace")
def test_without_user_namespaces_it_is_said_how_to_have_them() -> None:
    def judge() -> None:
        Path("/proc/sys/user/max_user_namespaces").write_text("0")  # of this namespace alone
        assert why_unavailable() is None  # root needs none
        os.setgroups([])
        os.setgid(1000)
        os.setuid(1000)
        reason = why_unavailable()
        assert reason is not None
        assert "bwrap: " in reason
        assert "'sysctl user.max_user_namespaces=10000'" in reason

    assert _in_user_namespace(judge) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="maps a second user into a user namespace")
def test_what_a_container_forbids_is_said_so() -> None:
    def judge() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in range(41):
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: root without its powers
        reason = why_unavailable()
        assert reason is not None
        assert "in a container it must be allowed" in reason

    assert _in_user_namespace(judge) == 0


def _read_until(terminal: int, text: bytes) -> bytes:
    read = b""
    while text not in read:
        read += os.read(terminal, 4096)
    return read


def _in_user_namespace(judge: Callable[[], None]) -> int:
    """Runs a judgement as root of a new user namespace with all of this one's users; its status."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert ctypes.CDLL(None).unshare(_CLONE_NEWUSER) == 0
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            judge()
            status = 0
        except BaseException:  # noqa: BLE001 - the child has no pytest above it
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(ready[1])
    if not os.read(ready[0], 1):
        os.waitpid(child, 0)
        pytest.skip("no user namespace can be made here: none can in a chroot")
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text("0 0 65536")
    os.write(go[1], b"x")
    for descriptor in (ready[0], *go):
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

"""FHS roots on machines that are not as others: odd links, dead mounts, two kinds of programs."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from graft.ways.namespace.base import base_packages
from graft.ways.namespace.loader import is_narrow
from tests.store_objects import add_object, new_store

needs_namespaces = pytest.mark.needs("bwrap", "busybox")

# Only a few lines of C: nothing else makes a mount whose program is gone.
_DEAD = """
import ctypes, os, sys
descriptor = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
sys.exit(ctypes.CDLL(None).mount(b"dead", sys.argv[1].encode(), b"fuse", 0, options) != 0)
"""


def _busybox() -> Path:
    program = Path(shutil.which("busybox") or "")
    if b"/ld-linux" in program.read_bytes()[:4096]:
        pytest.skip("busybox is not static here")
    return program


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


def _tools(store: LocalStore, name: str = "busybox-1") -> StorePath:
    programs = dict.fromkeys(("sh", "cat", "echo", "ls"), "busybox")
    path = add_object(store, name, {"bin": {"busybox": _busybox().read_bytes(), **programs}})
    os.chmod(f"{store.tree(path)}/bin/busybox", 0o555)
    return path


def _fhs(store: LocalStore, *words: str) -> list[str]:
    return [sys.executable, "-m", "graft", "-q", f"--store={store.url}", "fhs", *words]


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_namespaces
def test_a_link_of_etc_that_leads_to_a_hidden_place_is_followed(
    store: LocalStore, tmp_path: Path
) -> None:
    etc, run, usr = tmp_path / "etc", tmp_path / "run", tmp_path / "usr-part"
    for directory in (etc / "resolvconf", run / "resolvconf", usr):
        directory.mkdir(parents=True)
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", etc)
    (run / "resolvconf/resolv.conf").write_text("nameserver 192.0.2.53\n")
    (etc / "resolvconf/run").symlink_to("/run/resolvconf")
    (etc / "resolv.conf").symlink_to("resolvconf/run/resolv.conf")
    (etc / "mailcap").symlink_to("own/mailcap")
    (etc / "own").mkdir()
    (etc / "own/mailcap").write_text("text/plain\n")
    (etc / "services").symlink_to(f"/usr/share/{usr.name}/services")
    (usr / "services").write_text("echo 7/tcp\n")
    machine = ["bwrap", "--dev-bind", "/", "/", "--bind", str(etc), "/etc", "--bind", str(run)]
    machine += ["/run", "--tmpfs", "/usr/share", "--bind", str(usr), f"/usr/share/{usr.name}"]
    read = _fhs(store, _tools(store), "--", "cat")
    files = ["/etc/resolv.conf", "/etc/mailcap", "/etc/services"]
    out = _run([*machine, "--", *read, *files])
    assert out == "nameserver 192.0.2.53\ntext/plain\necho 7/tcp\n"


@needs_namespaces
@pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/fuse"),
    reason="only root mounts without a program",
)
def test_a_mount_that_cannot_be_looked_at_is_left_out_and_told(
    store: LocalStore, tmp_path: Path
) -> None:
    dead = tmp_path / "dead.py"
    dead.write_text(_DEAD)
    place = "/srv" if os.path.isdir("/srv") else "/mnt"
    command = _fhs(store, _tools(store), "--", "echo", "hello")
    command.remove("-q")
    script = f'"$1" "$2" {place} && shift 2 && exec "$@"'
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            script,
            "sh",
            sys.executable,
            str(dead),
            *command,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare failed" in done.stderr:
        pytest.skip("no mount can be made here")
    assert (done.stdout, done.returncode) == ("hello\n", 0), done.stderr
    assert f"'{place}' cannot be looked at, and is left out" in done.stderr


@needs_namespaces
@pytest.mark.needs("gcc", "gnu/stubs-32.h", "readelf")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="its 32-bit programs are others")
@pytest.mark.slow
def test_programs_of_64_and_32_bits_run_in_one_root(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "l.c").write_text("int answer(void){return sizeof(long);}\n")
    (tmp_path / "m.c").write_text(
        "int answer(void);int main(void){return answer()!=sizeof(long);}\n"
    )
    roots, programs = [_tools(store)], []
    for bits in ("64", "32"):
        gcc, library = ["gcc", f"-m{bits}"], tmp_path / bits / "libanswer.so.1"
        library.parent.mkdir()
        soname = f"-Wl,-soname,{library.name}"
        _run([*gcc, "-shared", "-fPIC", soname, *_made(tmp_path, library, "l")])
        program = tmp_path / f"program-{bits}"
        _run([*gcc, *_made(tmp_path, program, "m"), f"-L{library.parent}", f"-l:{library.name}"])
        programs.append(str(program))
        linked = _run(["readelf", "-l", str(program)])
        loader = linked.partition("interpreter: ")[2].partition("]")[0]
        libc = _run([*gcc, "-print-file-name=libc.so.6"]).strip()
        files = {Path(name).name: Path(name) for name in (loader, libc)}
        contents = {name: file.read_bytes() for name, file in files.items()}
        path = add_object(store, f"glibc-{bits}", {"lib": contents})
        for name in contents:
            os.chmod(f"{store.tree(path)}/lib/{name}", 0o555)
        roots += [
            path,
            add_object(store, f"answer-{bits}", {"lib": {library.name: library.read_bytes()}}),
        ]
    for made in programs:
        _run(_fhs(store, *roots, "--", made))
    names = _run(_fhs(store, *roots, "--", "ls", "/lib32", "/lib"))
    assert names.count("libanswer.so.1") == 2


def _made(directory: Path, program: Path, source: str) -> list[str]:
    """The words for a compiler that say what is made of what."""
    return ["-o", str(program), str(directory / f"{source}.c")]


def _elf(elf_class: int, machine: int) -> bytes:
    return b"\x7fELF" + bytes([elf_class, 1]) + bytes(10) + struct.pack("<HH", 3, machine)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="its 32-bit programs are others")
@pytest.mark.parametrize(
    ("files", "narrow"),
    [
        ({"liba.so": (1, 3)}, True),
        ({"liba.so": (1, 3), "libb.so": (2, 62)}, False),
        ({"liba.so": (2, 62)}, False),
        ({"i386-linux-gnu/liba.so": (1, 3)}, True),
        ({}, False),
    ],
)
def test_a_directory_of_32_bit_libraries_alone_is_one(
    tmp_path: Path, files: dict[str, tuple[int, int]], *, narrow: bool
) -> None:
    (tmp_path / "lib/i386-linux-gnu").mkdir(parents=True)
    (tmp_path / "lib/text").write_text("x")
    for name, kind in files.items():
        (tmp_path / "lib" / name).write_bytes(_elf(*kind))
    assert is_narrow(str(tmp_path / "lib")) is narrow


@needs_namespaces
def test_without_a_program_a_shell_is_started_with_the_base_packages(store: LocalStore) -> None:
    data = add_object(store, "data-1", {"share": {"data": b"here\n"}})
    assert base_packages(store, []) == []
    command = _fhs(store, data)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "has no /bin/sh: add a package with a shell" in done.stderr
    tools = _tools(store)
    assert [each.path for each in base_packages(store, [data])] == [tools]
    assert base_packages(store, [tools]) == []
    assert _run(command, "cat /usr/share/data; exit\n") == "here\n"
    assert _run(_fhs(store, data, "--base", "--", "cat", "/share/data")) == "here\n"


def test_the_newest_base_package_for_this_machine_is_taken(store: LocalStore) -> None:
    program = Path("/proc/self/exe").read_bytes()[:64]
    other = bytearray(program)
    other[18:20] = b"\xff\x7f"
    for name, contents in (
        ("bash-5.2", program),
        ("bash-5.10", program),
        ("bash-6.0", bytes(other)),
        ("coreutils-9.1", program),
    ):
        add_object(store, name, {"bin": {"tool": contents}})
    add_object(store, "bash-7.0-doc", {"share": {}})
    add_object(store, "bash-7.0.drv", b"")
    names = [each.path.name for each in base_packages(store, [])]
    assert names == ["bash-5.10", "coreutils-9.1"]

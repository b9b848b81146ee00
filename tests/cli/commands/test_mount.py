"""`graft mount` and `graft fhs` on little closures: what programs see, and what is refused."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.cli import run
from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.ways.namespace import command_line
from graft.ways.namespace.machine import machine_options
from tests.graftable import Graftable
from tests.ordinary_user import as_ordinary_user
from tests.store_objects import Contents, add_object, new_store

pytestmark = pytest.mark.needs("bwrap")

# As another user Python's own files may be out of reach: what is loaded late is loaded now.
for _name in ("mount", "fhs"):
    importlib.import_module(f"graft.cli.commands.{_name}")


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


def _url(store: LocalStore) -> str:
    location = store.location
    if location.real_store_dir != location.store_dir:
        return f"--store={location.url}"
    return f"--store=local?store={location.real_store_dir}&state={location.state_dir}"


def _mount(it: Graftable, *program: str, root: StorePath | None = None) -> int:
    full = it.store.store_dir.path
    pair = f"--replace={full(it.old)}={full(it.new)}"
    return run([_url(it.store), "mount", full(root or it.app), pair, "--", *program])


def _snapshot(*directories: str) -> list[tuple[str, int, int, int]]:
    """Everything below the directories, with what a write would change."""
    return [
        (path, status.st_ino, status.st_mtime_ns, status.st_size)
        for directory in directories
        for top, names, files in os.walk(directory)
        for path in (top, *(f"{top}/{name}" for name in names + files))
        for status in [os.lstat(path)]
    ]


def test_the_program_and_its_children_see_new_and_nothing_is_written(
    it: Graftable, capfd: pytest.CaptureFixture[str]
) -> None:
    before = _snapshot(it.store.location.real_store_dir)
    assert _mount(it, "bin/run") == 0
    out, err = capfd.readouterr()
    assert out == "new\nnew\n"
    assert err == ""
    assert _mount(it, "sh", "-c", f"env {it.tree(it.app)}/bin/run | head -n 1") == 0
    assert capfd.readouterr().out == "new\n"
    assert _snapshot(it.store.location.real_store_dir) == before
    subprocess.run([f"{it.tree(it.app)}/bin/run"], check=True)
    assert capfd.readouterr().out.startswith("old\n")


def test_not_even_root_can_write_into_new(it: Graftable) -> None:
    assert _mount(it, "sh", "-c", f"echo > {it.tree(it.old)}/made") != 0
    assert sorted(os.listdir(it.tree(it.new))) == ["lib", "self"]


def test_the_first_word_is_looked_up_below_root_then_as_usual(
    it: Graftable, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/usr")
    assert _mount(it, "bin/env", "pwd") == 0
    assert capfd.readouterr().out == "/usr\n"
    assert _mount(it, "bin/run", root=it.env) == 0  # through a link from one path to another
    assert capfd.readouterr().out.startswith("new\n")
    assert _mount(it, "run") == 127


def test_a_root_that_is_replaced_is_new(it: Graftable, capfd: pytest.CaptureFixture[str]) -> None:
    assert _mount(it, "cat", f"{it.tree(it.old)}/lib", root=it.old) == 0
    assert capfd.readouterr().out == "new\n"


def test_the_status_is_the_programs(it: Graftable) -> None:
    assert _mount(it, "sh", "-c", "exit 9") == 9
    assert _mount(it, "sh", "-c", "kill -TERM $$") == 143
    assert _mount(it, f"{it.tree(it.data)}/big") == 126
    assert _mount(it, "no-such-program") == 127


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mount", "ROOT", "--replace=OLD=NEW"], "give the program to run after '--'"),
        (["mount", "ROOT", "--", "true"], "missing option '--replace'"),
        (["mount", "ROOT", "--replace=OLD=ROOT", "--", "true"], "needs"),
        (["--json", "mount", "ROOT", "--replace=OLD=NEW", "--", "true"], "--json cannot be given"),
        (["fhs", "ROOT", "--json", "--", "true"], "--json cannot be given"),
        (["fhs", "--", "true"], "missing argument 'ROOT[:PRIORITY]...'"),
        (["fhs", "ROOT", "--profile-script=/nowhere", "--", "true"], "'/nowhere' does not exist"),
        (["fhs", "ROOT", "--profile-script=/etc/passwd", "--", "true"], "no /bin/sh"),
        (["fhs", "OLD", "NEW", "--", "true"], "without one it is 5"),
    ],
)
def test_grafts_own_trouble_is_125(
    it: Graftable, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    store = it.store
    old, new = (add_object(store, f"tool-{n}", {"bin": {"tool": b"%d" % n}}) for n in (1, 2))
    root = add_object(store, "root-1", {"bin": {"use": store.store_dir.path(old)}}, [old])
    names = {"ROOT": root, "OLD": old, "NEW": new}
    for name, path in names.items():
        arguments = [each.replace(name, store.store_dir.path(path)) for each in arguments]
    assert run([_url(store), "--quiet", *arguments]) == 125
    err = capsys.readouterr().err
    assert err.startswith("graft: error: ")
    assert said in err
    assert err.count("\n") == 1


def test_without_bubblewrap_it_is_said_what_to_do(
    it: Graftable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert _mount(it, "bin/run") == 125
    assert "bubblewrap is not installed" in capsys.readouterr().err


@as_ordinary_user
def _an_ordinary_user_mounts(*, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    it = Graftable.build(new_store(tmp_path))
    before = _snapshot(it.store.location.real_store_dir)
    assert _mount(it, "bin/run") == 0
    assert capfd.readouterr().out.startswith("new\n")
    assert _mount(it, "no-such-program") == 127
    full = it.store.store_dir.path
    assert run([_url(it.store), "fhs", full(it.app), "--", "/share/unchanged"]) == 126
    assert _snapshot(it.store.location.real_store_dir) == before


def test_an_ordinary_user_can_mount(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _an_ordinary_user_mounts(tmp_path=tmp_path, capfd=capfd)


@pytest.fixture
def rooted(tmp_path: Path) -> Iterator[Graftable]:
    location = Location.at_root(str(tmp_path / "root"))
    LocalStore.create(location)
    with LocalStore(location=location) as store:
        yield Graftable.build(store)


def test_a_store_with_another_root_appears_where_its_paths_say(
    rooted: Graftable, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _mount(rooted, "bin/run") == 0
    assert capfd.readouterr().out == "new\nnew\n"
    assert not os.path.lexists(rooted.store.store_dir.path(rooted.app))


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["no /nix", "an empty /nix"])
def test_a_mount_point_that_the_machine_lacks_is_not_made_there(
    rooted: Graftable, tmp_path: Path, machine: str
) -> None:
    """In a namespace that stands for such a machine, whose directory /nix can be looked at."""
    (tmp_path / "nix").mkdir()
    options = machine_options([], without=["nix"], whole=False)
    if machine == "an empty /nix":
        options += ["--bind", str(tmp_path / "nix"), "/nix"]
    full = rooted.store.store_dir.path
    words = [sys.executable, "-m", "graft", _url(rooted.store), "mount", full(rooted.app)]
    words += [f"--replace={full(rooted.old)}={full(rooted.new)}", "--", "bin/run"]
    look = '"$@"; [ -z "$(ls -A /nix 2>/dev/null)" ] && echo nothing made'
    outer = command_line(options, ["sh", "-c", look, "sh", *words])
    seen = subprocess.run(outer, capture_output=True, text=True, check=False)
    assert seen.stdout == "new\nnew\nnothing made\n", seen.stderr
    assert os.listdir(tmp_path / "nix") == []


def _static_tool(store: LocalStore, directory: Path, name: str, text: str) -> StorePath:
    """A package whose program needs no loader: it prints a text, then a file that it is told."""
    source, program = directory / f"{name}.c", directory / name
    source.write_text(
        f'#include <stdio.h>\nint main(int n,char**v){{puts("{text}");if(n>1){{FILE*f=fopen(v[1],'
        '"r");int c;if(!f)return 3;while((c=getc(f))>=0)putchar(c);}return 0;}\n'
    )
    subprocess.run(["gcc", "-static", "-o", program, source], check=True)
    program.chmod(0o755)
    data = program.read_bytes()
    path = add_object(store, name, {"bin": {"tool": data}, "etc": {"tool.conf": text.encode()}})
    os.chmod(f"{store.tree(path)}/bin/tool", 0o555)
    return path


@pytest.mark.slow
@pytest.mark.needs("gcc")
def test_an_fhs_root_is_composed_of_packages_by_priority(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    store = new_store(tmp_path)
    full = store.store_dir.path
    one, two = (_static_tool(store, tmp_path, f"tool-{n}", f"tool {n}") for n in (1, 2))
    tools = [full(one), full(two)]
    before = _snapshot(store.location.real_store_dir)

    def fhs(*arguments: str) -> tuple[int, str]:
        status = run([_url(store), "fhs", *arguments])
        return status, capfd.readouterr().out

    config = "/etc/tool.conf"
    assert run([_url(store), "fhs", tools[0], "--", "tool", config]) == 0
    out, err = capfd.readouterr()
    assert out == "tool 1\ntool 1"
    assert "have the loader" in err  # that of other programs; this one needs none
    assert fhs(tools[0], f"{tools[1]}:4", "--", "/bin/tool", config) == (0, "tool 2\ntool 2")
    assert fhs(f"{tools[0]}:-1", tools[1], "--", "/usr/bin/tool", config) == (0, "tool 1\ntool 1")
    pair = f"--replace={tools[0]}={tools[1]}"
    assert fhs(tools[0], pair, "--", "tool", f"{tools[0]}{config}") == (0, "tool 2\ntool 2")
    both = add_object(
        store,
        "both-1",
        {"nix-support": {"propagated-user-env-packages": f"{full(one)} {full(two)}\n".encode()}},
        [one, two],
    )
    assert fhs(full(both), "--", "tool") == (0, "tool 1\n")
    # The machine's own: what is nobody's package stays, but not its programs.
    (tmp_path / "text").write_text("here")
    assert fhs(tools[0], "--", "tool", str(tmp_path / "text")) == (0, "tool 1\nhere")
    passwd = Path("/etc/passwd").read_text()
    assert fhs(tools[0], "--", "tool", "/etc/passwd") == (0, f"tool 1\n{passwd}")
    status = fhs(tools[0], "--", "tool", "/proc/self/status")[1]
    assert status.startswith("tool 1\nName:\ttool\n")
    assert fhs(tools[0], "--", "/usr/bin/env")[0] == 127
    assert fhs(tools[0], "--", "tool", "/nowhere")[0] == 3
    after = [each for each in _snapshot(store.location.real_store_dir) if str(both) not in each[0]]
    assert [each[0] for each in after] == [each[0] for each in before]
    assert os.listdir(temporary) == []


@pytest.mark.slow
@pytest.mark.needs("gcc")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="its loader has another name")
def test_a_loader_that_reads_its_cache_in_its_own_package_finds_it_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As glibc of nixpkgs and of Guix does; the package itself stays as it is."""
    store = new_store(tmp_path)
    full = store.store_dir.path
    tool = _static_tool(store, tmp_path, "tool-1", "tool")
    contents: Contents = {
        "etc": {"rpc": b"a table"},
        "lib": {"ld-linux-x86-64.so.2": b"\0{self}/etc/ld.so.cache\0"},
    }
    glibc = add_object(store, "glibc-1", contents)
    cache = f"{full(glibc)}/etc/ld.so.cache"
    for file, begin in ((cache, "glibc-ld.so.cache1.1"), (f"{full(glibc)}/etc/rpc", "a table")):
        assert run([_url(store), "fhs", full(tool), full(glibc), "--", "tool", file]) == 0
        assert capfd.readouterr().out.startswith(f"tool\n{begin}")
    assert os.listdir(f"{store.tree(glibc)}/etc") == ["rpc"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its loader has another name")
def test_more_than_one_c_library_is_said(it: Graftable, capfd: pytest.CaptureFixture[str]) -> None:
    store = it.store
    full = store.store_dir.path
    loaders = [
        add_object(store, f"glibc-{n}", {"lib": {"ld-linux-x86-64.so.2": b"%d" % n}})
        for n in (1, 2)
    ]
    users = [
        add_object(store, f"user-{n}", {"a": full(loaders[1]).encode()}, [loaders[1]])
        for n in (1, 2)
    ]
    root = add_object(
        store,
        "root-1",
        {"bin": {}, "use": " ".join(map(full, [*loaders, *users])).encode()},
        [*loaders, *users],
    )
    assert run([_url(store), "fhs", full(root), "--", "/lib64/ld-linux-x86-64.so.2"]) == 126
    err = capfd.readouterr().err
    assert f"loader of '{full(loaders[1])}' is taken, not of '{full(loaders[0])}'" in err
    arguments = [full(root), full(loaders[0]), "--", "/lib64/ld-linux-x86-64.so.2"]
    assert run([_url(store), "fhs", *arguments]) == 126
    assert "is taken" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.needs("gcc")
def test_an_fhs_root_is_composed_of_a_store_with_another_root(
    rooted: Graftable, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = rooted.store
    tool = store.store_dir.path(_static_tool(store, tmp_path, "tool-1", "tool"))
    files = ("/etc/tool.conf", f"{tool}/etc/tool.conf")
    for file in files:
        assert run([_url(store), "fhs", tool, "--", "tool", file]) == 0
        assert capfd.readouterr().out == "tool\ntool"
    assert not os.path.lexists(tool)

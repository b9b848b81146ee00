"""Where libraries are found, held against the machine's own loader."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from graft.check.abi.loading import Loading, LoadScope
from graft.check.abi.store_contents import StoreContents
from graft.check.abi.views import ObjectEntry, World
from graft.formats.elf.dynamic import Elf
from graft.formats.elf.loader_cache import library_flags, loader_cache
from graft.formats.store_path import StorePath
from tests.check.abi.programs import Workshop
from tests.store_objects import Contents, add_object, named_path, new_store

pytestmark = [pytest.mark.needs("gcc"), pytest.mark.slow]

_LOADER = "/lib64/ld-linux-x86-64.so.2"
_LISTED = re.compile(r"^\t(\S+) => (/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(new_store(tmp_path), tmp_path / "workshop")


def _scope(workshop: Workshop, path: StorePath, name: bytes = b"bin/run") -> LoadScope:
    store = workshop.store
    with StoreContents(store) as contents:
        world = World(contents, store.store_dir, store.valid_paths(), {})
        elf = world.thing(ObjectEntry(path, name))
        assert isinstance(elf, Elf)
        return Loading(world, contents, {}).scope(ObjectEntry(path, name), elf)


def _ours(workshop: Workshop, scope: LoadScope) -> dict[str, str]:
    return {
        os.fsdecode(name): os.path.realpath(
            f"{workshop.full(one.place.path)}/{os.fsdecode(one.place.name)}"
        )
        for name, one in scope.names.items()
    }


def _listed(workshop: Workshop, path: StorePath) -> dict[str, str]:
    """What the machine's loader finds in the store."""
    result = subprocess.run(
        [_LOADER, f"{workshop.full(path)}/bin/run"],
        env={"LD_TRACE_LOADED_OBJECTS": "1"},  # as --list, but it goes on where one is missing
        capture_output=True,
        text=True,
        check=True,
    )
    directory = f"{workshop.store.store_dir}/"
    return {
        name: os.path.realpath(file)
        for name, file in _LISTED.findall(result.stdout)
        if os.path.realpath(file).startswith(directory)
    }


def _agree(workshop: Workshop, app: StorePath, expected: set[str]) -> dict[str, str]:
    listed = _listed(workshop, app)
    assert listed == _ours(workshop, _scope(workshop, app))
    assert listed.keys() == expected
    return listed


def _library(workshop: Workshop, name: str, *flags: str) -> bytes:
    return workshop.compiled(
        f"int {name};", flags=["-shared", "-fPIC", f"-Wl,-soname,lib{name}.so", *flags]
    )


def _object(workshop: Workshop, name: str, contents: Contents) -> StorePath:
    return add_object(workshop.store, name, contents)


def _app(workshop: Workshop, needed: str, *flags: str, more: Contents | None = None) -> StorePath:
    """A program that needs one library of the workshop, and has other files beside it."""
    made = workshop.compiled(
        "int main(void) { return 0; }",
        flags=["-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", needed, *flags],
    )
    contents: dict[str, Contents] = {"bin": {"run": made}}
    return _object(workshop, "app", {**contents, **({"lib": more} if more is not None else {})})


def _stub(workshop: Workshop, directory: Path, name: str) -> str:
    (directory / f"lib{name}.so").write_bytes(_library(workshop, name))
    return str(directory / f"lib{name}.so")


def test_the_directory_of_a_file_is_meant_by_origin(workshop: Workshop, tmp_path: Path) -> None:
    app = _app(
        workshop,
        _stub(workshop, tmp_path, "one"),
        "-Wl,-rpath,$ORIGIN/../lib",
        more={"libone.so": _library(workshop, "one")},
    )
    _agree(workshop, app, {"libone.so"})


@pytest.mark.parametrize(("tags", "found"), [("disable", True), ("enable", False)])
def test_an_rpath_is_for_what_libraries_need_as_well_and_a_runpath_is_not(
    workshop: Workshop, tmp_path: Path, tags: str, *, found: bool
) -> None:
    two = _stub(workshop, tmp_path, "two")
    libraries: Contents = {
        "libone.so": _library(workshop, "one", "-Wl,--no-as-needed", two),
        "libtwo.so": _library(workshop, "two"),
    }
    app = _app(
        workshop,
        _stub(workshop, tmp_path, "one"),
        "-Wl,-rpath,$ORIGIN/../lib",
        f"-Wl,--{tags}-new-dtags",
        more=libraries,
    )
    _agree(workshop, app, {"libone.so", "libtwo.so"} if found else {"libone.so"})
    unresolved = _scope(workshop, app).unresolved
    assert ((ObjectEntry(app, b"lib/libone.so"), b"libtwo.so") in unresolved) is not found


def test_a_library_for_another_machine_is_passed_by(workshop: Workshop, tmp_path: Path) -> None:
    foreign = bytearray(_library(workshop, "one"))
    foreign[4] = 1  # 32 bits
    first = _object(workshop, "first", {"libone.so": bytes(foreign)})
    second = _object(workshop, "second", {"libone.so": _library(workshop, "one")})
    path = f"{workshop.full(first)}:{workshop.full(second)}"
    app = _app(workshop, _stub(workshop, tmp_path, "one"), f"-Wl,-rpath,{path}")
    assert workshop.full(second) in _agree(workshop, app, {"libone.so"})["libone.so"]


def test_a_library_that_is_there_already_goes_before_what_a_path_says(
    workshop: Workshop, tmp_path: Path
) -> None:
    """The first one's libtwo is loaded, though the second's own path leads to another."""
    two = _stub(workshop, tmp_path, "two")
    other = _object(workshop, "other", {"libtwo.so": _library(workshop, "two")})
    one = _library(workshop, "one", "-Wl,--no-as-needed", two, f"-Wl,-rpath,{workshop.full(other)}")
    app = _app(
        workshop,
        _stub(workshop, tmp_path, "one"),
        two,
        "-Wl,-rpath,$ORIGIN/../lib",
        more={"libone.so": one, "libtwo.so": _library(workshop, "two")},
    )
    assert workshop.full(app) in _agree(workshop, app, {"libone.so", "libtwo.so"})["libtwo.so"]


def test_links_are_followed_out_of_an_object_and_back(workshop: Workshop, tmp_path: Path) -> None:
    real = _object(workshop, "real", {"lib": {"libone.so.1": _library(workshop, "one")}})
    links = {"libone.so": f"../../{real}/lib/./libone.so.1"}
    farm = _object(workshop, "farm", {"lib": links, "again": f"{workshop.full(real)}/../{real}"})
    top = add_object(workshop.store, "top", workshop.full(farm))
    path = f"-Wl,-rpath,{workshop.full(top)}/again/none:{workshop.full(top)}/lib"
    app = _app(workshop, _stub(workshop, tmp_path, "one"), path)
    _agree(workshop, app, {"libone.so"})


def test_links_in_a_circle_lead_nowhere(workshop: Workshop, tmp_path: Path) -> None:
    path = named_path("loop", workshop.store.store_dir)
    deep = f"../{path}/" * 90
    _object(workshop, "loop", {"a": "b", "b": f"{deep}a", "c": f"{{self}}/{deep}c"})
    store = workshop.store
    with StoreContents(store) as contents:
        world = World(contents, store.store_dir, store.valid_paths(), {})
        for name in (b"a", b"b", b"c"):
            assert world.resolve(f"{workshop.full(path)}/".encode() + name, path) is None


@pytest.mark.parametrize("where", ["directory", "cache"])
def test_what_a_loader_has_built_in_is_looked_at_last(workshop: Workshop, where: str) -> None:
    """Such a loader cannot be made on the spot: its strings can."""
    data = _library(workshop, "one")
    library = _object(workshop, "library", {"lib": {"libone.so": data}})
    place = f"{workshop.full(library)}/lib"
    libc = named_path("libc", workshop.store.store_dir)
    flags = library_flags(data)
    assert flags is not None
    strings = [f"{workshop.full(libc)}/etc/ld.so.cache"]
    if where == "directory":
        strings.append(f"{place}/")
    text = "".join(f'"\\0{one}\\0"' for one in strings)
    loader = workshop.compiled(
        f"const char built_in[] = {text};",
        flags=["-shared", "-fPIC", "-Wl,-soname,ld-linux-x86-64.so.2"],
    )
    cached = loader_cache({("libone.so", flags): f"{place}/libone.so"} if where == "cache" else {})
    _object(workshop, "libc", {"lib": {"ld.so": loader}, "etc": {"ld.so.cache": cached}})
    interpreter = f"-Wl,--dynamic-linker={workshop.full(libc)}/lib/ld.so"
    one = Path(workshop.store.tree(library), "lib/libone.so")
    for flag, found in (("-Wl,-z,now", True), ("-Wl,-z,nodefaultlib", False)):
        made = workshop.compiled(
            "int main(void) {}", flags=["-Wl,--no-as-needed", str(one), interpreter, flag]
        )
        app = add_object(workshop.store, f"app{flag[-3:]}", {"bin": {"run": made}})
        scope = _scope(workshop, app)
        assert (b"libone.so" in scope.names) is found
        assert ((ObjectEntry(app, b"bin/run"), b"libone.so") in scope.unresolved) is not found


def test_a_library_is_loaded_by_a_loader_that_is_there(workshop: Workshop) -> None:
    """Of those that programs name: a libc of Debian names one outside of every store."""
    soname = "ld-linux-x86-64.so.2"
    flags = ["-shared", "-fPIC", f"-Wl,-soname,{soname}"]
    loader = workshop.compiled("int built_in;", flags=flags)
    libc = _object(workshop, "libc", {"lib": {soname: loader}})
    tree = workshop.store.tree(libc)
    needed = ["-Wl,--no-as-needed", f"{tree}/lib/{soname}"]
    library = _object(workshop, "library", {"libone.so": _library(workshop, "one", *needed)})
    place = ObjectEntry(library, b"libone.so")
    inside = (f"{workshop.full(libc)}/lib/{soname}".encode(), library)
    store = workshop.store
    with StoreContents(store) as contents:
        world = World(contents, store.store_dir, store.valid_paths(), {})
        elf = world.thing(place)
        assert isinstance(elf, Elf)
        outside = (_LOADER.encode(), library)
        for named, found in (([outside], False), ([outside, inside], True)):
            scope = Loading(world, contents, {elf.machine: named}).scope(place, elf)
            assert ((place, soname.encode()) in scope.unresolved) is not found

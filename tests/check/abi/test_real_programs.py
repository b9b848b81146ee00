"""Debian's programs: libraries found as their own loader finds them, and real breaks."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.check.abi import check_abi
from graft.check.abi.loading import Loading
from graft.check.abi.store_contents import StoreContents
from graft.check.abi.views import ObjectEntry, world_before
from graft.formats.elf.dynamic import Elf
from graft.formats.store_path import StorePath
from graft.plan import Plan
from graft.plan.making import make_plan
from graft.plan.request import Graft
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.cli.lines import CommandLine
from tests.debpkgs.built import Built, small
from tests.debpkgs.edited import edited
from tests.debpkgs.store import PrivateStore
from tests.debpkgs_graft import MARKS

pytestmark = [*MARKS, pytest.mark.slow]

# What a line of ld.so --list says of a library: what it is needed as, and where it is.
_LISTED = re.compile(r"^\t(?:(\S+) => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_STOPPED = re.compile(r"loading shared libraries: (\S+): cannot open shared object file")
_NOT_FOUND = re.compile(r"^\t(\S+) => not found$", re.MULTILINE)

# Two outputs of one build: one is all of a glibc, of which the other has a part that uses the
# private symbols of the first.
_SPLIT = """
{{ mark }}: (derivation {{
  name = "libs-1.0";
  system = "x86_64-linux";
  outputs = [ "out" "parts" ];
  builder = "/bin/sh";
  glibc = builtins.storePath "{glibc}";
  args = [ "-c" ''
    set -e
    export PATH=/usr/bin:/bin
    mkdir -p "$out/lib" "$parts/lib"
    cp "$glibc"/lib/x86_64-linux-gnu/*.so* "$out/lib/"
    chmod -R u+w "$out"
    echo ${{mark}} > "$out/mark"
    mv "$out/lib/libresolv.so.2" "$parts/lib/"
    patchelf --set-rpath "$out/lib" "$parts/lib/libresolv.so.2"
  '' ];
}})
"""


@pytest.fixture(scope="module")
def built() -> Built:
    return small()


@pytest.fixture
def private(built: Built) -> Iterator[PrivateStore]:
    with built.checkout() as store:
        yield store


def _opened(store: PrivateStore) -> LocalStore:
    return LocalStore(location=Location.of_directories(str(store.store_dir), str(store.state_dir)))


def _plan(store: LocalStore, root: str, *pairs: tuple[str, str]) -> Plan:
    resolve = store.resolve
    return make_plan(
        store, Graft.of([resolve(root)], [(resolve(old), resolve(new)) for old, new in pairs])
    )


@pytest.mark.parametrize("variant", ["openssl", "zlib", "glibc"])
def test_a_security_update_breaks_nothing(variant: str) -> None:
    built = small(variant=variant)
    with built.checkout() as private, _opened(private) as store:
        check = check_abi(_plan(store, built.old_root, *built.replacements.items()), store)
        assert (check.breaks, check.unchecked) == ((), ())
        news = {store.resolve(new) for new in built.replacements.values()}
        assert check.libraries
        assert {now.path for _, now in check.libraries} <= news


def test_libraries_are_found_as_the_loader_of_the_store_finds_them(
    built: Built, private: PrivateStore
) -> None:
    listed = 0
    with _opened(private) as store, StoreContents(store) as contents:
        # What is not replaced is as good as what is: only originals are looked at.
        plan = _plan(store, built.old_root, *built.replacements.items())
        programs: dict[ObjectEntry, Elf] = {}
        for path in sorted(plan.closure.requisites(plan.roots)):
            for name, thing in contents[path].files():
                # Debian's libc.so.6 says that the machine's own loader starts it.
                outside = isinstance(thing, Elf) and (thing.interpreter or b"").startswith(b"/lib")
                if isinstance(thing, Elf) and thing.needed and not outside:
                    programs[ObjectEntry(path, name)] = thing
        loaders = {
            (elf.interpreter, place.path)
            for place, elf in programs.items()
            if elf.interpreter is not None
        }
        text, within = min(loaders)
        world = world_before(plan, contents)
        loading = Loading(world, contents, {(2, 1, 62): [(text, within)]})

        def real(place: ObjectEntry) -> str:
            return os.path.join(store.tree(place.path), os.fsdecode(place.name))

        for place, elf in programs.items():
            result = subprocess.run(
                [os.fsdecode(text), "--list", real(place)],
                capture_output=True,
                text=True,
                check=False,
                env={},
            )
            found = _LISTED.findall(result.stdout)
            expected = {
                (name or os.path.basename(file)): os.path.realpath(file) for name, file in found
            }
            scope = loading.scope(place, elf)
            needed = {name for one in scope.objects for name in one.elf.needed}
            ours = {
                os.fsdecode(name): os.path.realpath(real(scope.names[name].place))
                for name in needed & scope.names.keys()
                if not name.startswith(b"ld-linux")  # listed as it was called, not as it was found
            }
            missing = {os.fsdecode(name) for _, name in scope.unresolved}
            if (stopped := _STOPPED.search(result.stderr)) is not None:
                assert stopped[1] in missing  # the loader stops at the first
                continue
            assert {**expected, **ours} == expected, result.stdout
            assert missing == set(_NOT_FOUND.findall(result.stdout))
            listed += len(ours)
    assert listed > 500


def _split(private: PrivateStore, glibc: str, mark: str, directory: Path) -> dict[str, str]:
    expression = directory / "split.nix"
    expression.write_text(_SPLIT.format(glibc=glibc))
    outputs = {}
    for output in ("out", "parts"):
        made = private.run(
            *("nix-build", str(expression), "-A", output, "--argstr", "mark", mark),
            "--no-out-link",
        )
        outputs[output] = made.splitlines()[-1]
    return outputs


def test_a_c_library_of_which_one_output_is_replaced_is_an_error(
    built: Built, private: PrivateStore, tmp_path: Path
) -> None:
    (glibc,) = (
        path
        for path in private.closure(built.old_root)
        if StorePath(os.path.basename(path)).package_name == "glibc"
    )
    old, new = (_split(private, glibc, mark, tmp_path) for mark in ("old", "new"))
    with _opened(private) as store:
        check = check_abi(_plan(store, old["parts"], (old["out"], new["out"])), store)
        (found,) = check.breaks
        assert found.reason == "private-version"
        assert found.program.name == b"lib/libresolv.so.2"
        assert found.library is not None
        assert store.store_dir.path(found.library.path) == new["out"]
        assert all(symbol.endswith(b"@GLIBC_PRIVATE") for symbol in found.symbols)
        both = [(old[output], new[output]) for output in old]
        assert check_abi(_plan(store, old["parts"], *both), store).breaks == ()


def test_a_broken_library_is_refused_or_the_program_fails(
    built: Built, private: PrivateStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (old,) = (path for path in built.replacements if not path.endswith("-bin"))
    script = r"sed -i 's/\x00SSL_CTX_new\x00/\x00SSL_CTX_neq\x00/' lib/*/libssl.so.3"
    new = edited(private, old, script, tmp_path)
    (curl,) = (
        path
        for path in private.closure(built.old_root)
        if os.path.exists(f"{path}/bin/curl") and "-bin" in path
    )
    url = f"local?store={private.store_dir}&state={private.state_dir}"
    graft = CommandLine(capsys, url)
    arguments = ["apply", curl, f"--replace={old}={new}"]
    assert _version(curl).returncode == 0
    document = graft.json(*arguments, status=2)
    assert document["error"]["kind"] == "abi"
    assert document["error"]["symbol"].startswith("SSL_CTX_new@OPENSSL_3")
    assert document["error"]["library"].startswith(f"{new}/lib/")
    warned = graft.json("plan", *arguments[1:])
    assert "abi" in {warning["kind"] for warning in warned["warnings"]}
    made = graft.json(*arguments, "--allow-abi-breaks")
    assert "abi" in {warning["kind"] for warning in made["warnings"]}
    result = _version(made["new_roots"][curl])
    assert result.returncode != 0
    assert "SSL_CTX_new" in result.stderr


def _version(root: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"{root}/bin/curl", "--version"],
        capture_output=True,
        text=True,
        check=False,
        env={"LD_BIND_NOW": "1"},
    )

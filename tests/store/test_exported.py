"""graft inside a build: the closures that Nix exports to the builder are its store."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from graft.errors import BadFormatError, InvalidPathError
from graft.formats.derivations.exported import parse_exported
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import LOCAL_PRIORITY
from graft.store.exported import ExportedGraph
from graft.store.opening import open_store
from tests.archives import File, archive_of
from tests.derivations import Nix
from tests.sri import sri_encode

STORE = StoreDir("/nix/store")
ONE = StorePath("2543j7c6jn75blc3drf4g5vhb1rhdq29-one-1.0")
TWO = StorePath("6lkh5yi7nlb7l6dr8fljlli5zfd9hq58-two-1.0")


def attributes(**changed: object) -> dict[str, object]:
    one = {
        "path": STORE.path(ONE),
        "narHash": sri_encode(bytes(32)),
        "narSize": 120,
        "references": [STORE.path(ONE), STORE.path(TWO)],
        "closureSize": 240,
    }
    two = {"path": TWO, "narHash": f"sha256:{'0' * 52}", "narSize": 120, "references": []}
    return {
        "builder": "/bin/sh",
        "exportReferencesGraph": {"closure": [STORE.path(ONE)]},
        "closure": [one | changed, two],
    }


def test_later_spellings_are_read_as_well() -> None:
    one, two = parse_exported(json.dumps(attributes(ca="text:x")), STORE, ".attrs.json")
    assert (one.path, two.path) == (ONE, TWO)
    assert one.references == {ONE, TWO}
    assert one.nar_hash == two.nar_hash == bytes(32)
    assert (one.content_address, two.content_address) == ("text:x", None)


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "/elsewhere/x"},
        {"narHash": "md5:00"},
        {"narHash": "sha1:" + "0" * 40},
        {"narSize": -1},
        {"narSize": "x"},
        {"references": 1},
        {"references": ["x"]},
        {"ca": 1},
    ],
)
def test_another_form_is_an_error(changed: dict[str, object]) -> None:
    with pytest.raises(BadFormatError, match="entry 0 of 'closure'"):
        parse_exported(json.dumps(attributes(**changed)), STORE, ".attrs.json")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"exportReferencesGraph": {"a": []}}', '{"exportReferencesGraph": 1}'],
)
def test_attributes_without_closures_are_an_error(text: str) -> None:
    with pytest.raises(BadFormatError, match=r"\.attrs\.json"):
        parse_exported(text, STORE, ".attrs.json")


def test_what_is_not_in_the_build_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / ".attrs.json"
    file.write_text(json.dumps(attributes()).replace(STORE, str(tmp_path)))
    with open_store(f"graph:{file}", {"NIX_STORE": str(tmp_path)}) as store:
        assert isinstance(store, ExportedGraph)
        assert store.valid_paths() == {ONE, TWO}
        assert store.resolve(f"{tmp_path}/{ONE}/bin") == ONE
        with pytest.raises(InvalidPathError, match="not in the store of this build"):
            store.store_object(ONE)


def test_paths_of_a_text_are_hashed_once_where_they_lie(tmp_path: Path) -> None:
    one = tmp_path / ONE
    one.write_bytes(b"contents")
    file = tmp_path / "graph"
    file.write_text(f"{one}\n\n0\n")
    with ExportedGraph.open(f"graph:{file}", {"NIX_STORE": str(tmp_path)}) as store:
        archive = archive_of(File(b"contents"))
        (info,) = store.path_infos([ONE, TWO]).values()
        assert (info.nar_size, info.nar_hash) == (len(archive), hashlib.sha256(archive).digest())
        one.unlink()
        assert store.path_infos([ONE]) == {ONE: info}
        assert (store.is_trusted, store.priority) == (True, LOCAL_PRIORITY)
        assert store.url == f"graph:{file}"


def test_sizes_that_are_told_are_believed(tmp_path: Path) -> None:
    file = tmp_path / ".attrs.json"
    file.write_text("\n " + json.dumps(attributes()))
    with ExportedGraph.open(f"graph:{file}", {}) as store:
        assert store.store_dir == STORE
        assert [info.nar_size for info in store.path_infos([ONE, TWO]).values()] == [120, 120]


def test_two_words_on_one_path_are_an_error(tmp_path: Path) -> None:
    document = attributes()
    file = tmp_path / ".attrs.json"
    closure = document["closure"]
    assert isinstance(closure, list)
    for again, said in ((closure[0], None), (closure[0] | {"narSize": 121}, "says two things of")):
        file.write_text(json.dumps(document | {"closure": [*closure, again]}))
        if said is None:
            ExportedGraph.open(f"graph:{file}", {}).close()
        else:
            with pytest.raises(BadFormatError, match=said):
                ExportedGraph.open(f"graph:{file}", {})


PACKAGES = """
  lib = script "lib-{version}" "echo {version}";
  tool = script "tool" "${{lib}}/bin/lib-*";
  top = script "top" "${{tool}}/bin/tool";
"""


@pytest.mark.nix
@pytest.mark.slow
@pytest.mark.parametrize("structured", [True, False])
def test_a_derivation_grafts_its_inputs(tmp_path: Path, structured: bool) -> None:
    nix = Nix.under(tmp_path)
    old, top = map(nix.full, nix.build(PACKAGES.format(version="1.0"), "lib", "top"))
    [new] = map(nix.full, nix.build(PACKAGES.format(version="1.1"), "lib"))
    exported = f'(map builtins.storePath [ "{top}" "{new}" ])'
    how = (
        f"__structuredAttrs = true; exportReferencesGraph.closure = {exported};"
        if structured
        else f'exportReferencesGraph = [ "one" (builtins.storePath "{top}") '
        f'"two" (builtins.storePath "{new}") ];'
    )
    file = ".attrs.json" if structured else "graph"
    join = "" if structured else "cat one two > graph; "
    out = "${outputs[out]}" if structured else "$out"
    load = "set +u; . ./.attrs.sh; " if structured else ""
    graft = f"{sys.executable} -m graft --store graph:$PWD/{file}"
    expression = tmp_path / "grafting.nix"
    expression.write_text(
        f"""derivation {{
          name = "grafted"; system = builtins.currentSystem; builder = "/bin/bash";
          args = [ "-euc" '' {load.replace("$", "''$")}{join}
            export HOME=$PWD PYTHONPATH={Path(__file__).parents[2]}
            {graft} apply {top} --replace {old}={new} --to file://{out.replace("${", "''${")}
          '' ];
          PATH = "/usr/bin:/bin"; {how}
        }}"""
    )
    cache = nix.run("nix-build", "--no-out-link", str(expression)).strip()
    [narinfo] = [
        text for text in map(Path.read_text, Path(cache).glob("*.narinfo")) if "-top" in text
    ]
    new_top = narinfo.partition("\n")[0].removeprefix("StorePath: ")
    nix.run("nix", "copy", "--no-check-sigs", "--from", f"file://{cache}", new_top)
    assert nix.output(nix.store_dir.parse(new_top), "top") == "1.1"
    assert nix.output(nix.store_dir.parse(top), "top") == "1.0"
    assert old not in nix.run("nix-store", "--query", "--requisites", new_top).split()

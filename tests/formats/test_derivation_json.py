"""The JSON of derivations: every version says what the `.drv` file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.derivations.derivation import Derivation, DerivationOutput
from graft.formats.derivations.json import parse_derivations_json
from graft.formats.store_path import StoreDir, StorePath
from tests.derivation_text import print_derivation
from tests.derivations import Nix
from tests.formats.test_output_path import EXPRESSIONS

STORE = StoreDir("/nix/store")
PATH = StorePath("h9lc1dpi14z7is86ffhl3ld569138595-audit-tmpdir.sh")
DRV = StorePath("6lkh5yi7nlb7l6dr8fljlli5zfd9hq58-tool-1.0.drv")
INPUT = StorePath("fn3kgnfzl5dzym26j8g907gq3kbm8bfh-lib-2.1.drv")
OUT = StorePath("2543j7c6jn75blc3drf4g5vhb1rhdq29-tool-1.0")
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SRI = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
# What `nix-store --print-fixed-path --recursive` says of the hash.
FIXED = StorePath("zgvviplis35nnhi0a0gxbk7549l6lz29-tool-1.0-fixed")

DERIVATION = Derivation(
    outputs=(
        DerivationOutput(name="ca", path=None, algorithm="r:sha256"),
        DerivationOutput(name="fixed", path=FIXED, algorithm="r:sha256", hash=EMPTY),
        DerivationOutput(name="out", path=OUT),
    ),
    input_derivations=((INPUT, ("dev", "out")),),
    input_sources=(PATH,),
    platform="x86_64-linux",
    builder="/bin/sh",
    arguments=("-c", "x"),
    environment=(("__json", '{"a":["ä",1],"b":{}}'), ("out", STORE.path(OUT))),
)


def version_1() -> dict[str, Any]:
    full = STORE.path
    return {
        full(DRV): {
            "outputs": {
                "out": {"path": full(OUT)},
                "fixed": {"path": full(FIXED), "hashAlgo": "r:sha256", "hash": EMPTY},
                "ca": {"hashAlgo": "r:sha256"},
            },
            "inputSrcs": [full(PATH)],
            "inputDrvs": {full(INPUT): ["out", "dev"]},
            "system": "x86_64-linux",
            "builder": "/bin/sh",
            "args": ["-c", "x"],
            "env": dict(DERIVATION.environment),
        }
    }


def version_2() -> dict[str, Any]:
    (shown,) = version_1().values()
    shown["name"] = "tool-1.0"
    shown["inputDrvs"] = {
        STORE.path(INPUT): {"dynamicOutputs": {}, "outputs": ["dev", "out"]},
    }
    shown["outputs"]["fixed"] |= {"method": "nar", "hashAlgo": "sha256"}
    shown["outputs"]["ca"] = {"method": "nar", "hashAlgo": "sha256"}
    return {STORE.path(DRV): shown}


def version_2_with_attributes() -> dict[str, Any]:
    (shown,) = version_2().values()
    shown["structuredAttrs"] = json.loads(shown["env"].pop("__json"))
    return {STORE.path(DRV): shown}


def version_3() -> dict[str, Any]:
    (shown,) = version_2_with_attributes().values()
    shown["version"] = 3
    shown["inputDrvs"] = {INPUT: {"dynamicOutputs": {}, "outputs": ["dev", "out"]}}
    shown["inputSrcs"] = [PATH]
    shown["outputs"] = {
        "out": {"path": OUT},
        "fixed": {"method": "nar", "hashAlgo": "sha256", "hash": EMPTY},
        "ca": {"method": "nar", "hashAlgo": "sha256"},
    }
    return {DRV: shown}


def version_4(known: object = SRI) -> dict[str, Any]:
    (shown,) = version_3().values()
    shown["version"] = 4
    shown["inputs"] = {"drvs": shown.pop("inputDrvs"), "srcs": shown.pop("inputSrcs")}
    shown["outputs"]["fixed"] = {"method": "nar", "hash": known}
    return {"version": 4, "derivations": {DRV: shown}}


# Nix's own tests have `.drv` files beside their JSON: those of 2.30.2 (version 2) to 2.36 (version
# 4) were read and written as the same bytes, all but the ones with dynamic derivations.
VERSIONS = [
    version_1(),
    version_2(),
    version_2_with_attributes(),
    version_3(),
    version_4(),
    version_4({"algorithm": "sha256", "format": "base16", "hash": EMPTY}),
    version_4({"algorithm": "sha256", "format": "base64", "hash": SRI.partition("-")[2]}),
]


@pytest.mark.parametrize("document", VERSIONS)
def test_every_version_says_the_same(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert parse_derivations_json(text, STORE, "drvs.json") == {DRV: DERIVATION}


def test_an_impure_output_has_no_path() -> None:
    document = version_4()
    document["derivations"][DRV]["outputs"] = {
        "out": {"impure": True, "method": "nar", "hashAlgo": "sha256"}
    }
    (found,) = parse_derivations_json(json.dumps(document), STORE, "drvs.json").values()
    assert found.outputs == (
        DerivationOutput(name="out", path=None, algorithm="r:sha256", hash="impure"),
    )
    assert not found.outputs[0].is_fixed


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["outputs"], [], "is no object"),
        (["outputs", "out", "path"], "elsewhere", "is not the name of a store path"),
        (["outputs", "out", "path"], "/tmp/x", "is not in the store directory"),
        (["outputs", "ca", "method"], "zip", "'method' is not among flat, nar, text, git"),
        (["outputs", "fixed", "hash"], "sha256-!", "is no sha256 hash|is no hash"),
        (["outputs", "fixed", "hash"], {"algorithm": "sha256"}, "is no text"),
        (["inputs", "srcs"], PATH, "is no list"),
        (["inputs", "drvs", INPUT, "dynamicOutputs"], {"x": {}}, "that another makes"),
        (["env", "out"], 1, "is no text"),
        (["args"], None, "is no list"),
        (["system"], None, "is no text"),
    ],
)
def test_another_form_is_an_error(place: list[str], value: object, message: str) -> None:
    document = version_4()
    part = document["derivations"][DRV]
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    with pytest.raises(BadFormatError, match=message):
        parse_derivations_json(json.dumps(document), STORE, "drvs.json")


@pytest.mark.parametrize("name", ["outputs", "system", "builder", "args", "env", "inputSrcs"])
def test_what_is_missing_is_named(name: str) -> None:
    document = version_1()
    del document[STORE.path(DRV)][name]
    with pytest.raises(BadFormatError, match=f"has no '{name}'"):
        parse_derivations_json(json.dumps(document), STORE, "drvs.json")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(st.sampled_from(["outputs", "inputs", "env", "args", "structuredAttrs"]), _json)
def test_all_else_is_a_typed_error(name: str, value: object) -> None:
    document = version_4()
    document["derivations"][DRV][name] = value
    try:
        found = parse_derivations_json(json.dumps(document), STORE, "drvs.json")
    except BadFormatError as error:
        message = error.message
    else:
        print_derivation(found[DRV], STORE)
        return
    assert "drvs.json" in message


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": {}}', '{"derivations": 1}'])
def test_what_is_no_such_document_is_an_error(text: str) -> None:
    with pytest.raises(BadFormatError):
        parse_derivations_json(text, STORE, "drvs.json")


@pytest.mark.nix
def test_what_nix_shows_is_written_as_the_file_nix_wrote(tmp_path: Path) -> None:
    nix = Nix.under(tmp_path)
    expression = tmp_path / "expression.nix"
    expression.write_text(EXPRESSIONS)
    made = nix.run("nix-instantiate", str(expression)).split()
    text = nix.run("nix", "show-derivation", "-r", *made)
    found = parse_derivations_json(text, nix.store_dir, "nix show-derivation")
    assert len(found) == 11
    for path, derivation in found.items():
        written = Path(nix.store_dir, path).read_bytes()
        assert print_derivation(derivation, nix.store_dir) == written

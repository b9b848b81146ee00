"""Derivations: every one of Nix's is read, and written again byte for byte."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.derivations.derivation import (
    Derivation,
    DerivationOutput,
    parse_derivation,
)
from graft.formats.hashing import NIX32_ALPHABET
from graft.formats.store_path import StoreDir, StorePath
from tests.debpkgs.built import small
from tests.debpkgs.store import TOOLS
from tests.derivation_text import print_derivation
from tests.derivations import Nix
from tests.tools import need

STORE = StoreDir("/nix/store")
HASH = "0123456789abcdfghijklmnpqrsvwxyz"
ONE, SOURCE = StorePath(f"{HASH}-one-1.0"), StorePath(f"{HASH}-builder.sh")
DRV = StorePath(f"{HASH}-two-2.0.drv")

DERIVATION = Derivation(
    outputs=(
        DerivationOutput(name="out", path=ONE),
        DerivationOutput(name="ca", path=None, algorithm="r:sha256"),
        DerivationOutput(name="fixed", path=ONE, algorithm="sha256", hash="00" * 32),
    ),
    input_derivations=((DRV, ("bin", "out")),),
    input_sources=(SOURCE,),
    platform="x86_64-linux",
    builder="/bin/sh",
    arguments=("-c", 'echo "a\\b"\n\r\t'),
    environment=(("empty", ""), ("name", "one")),
)
TEXT = (
    f'Derive([("out","/nix/store/{ONE}","",""),("ca","","r:sha256",""),'
    f'("fixed","/nix/store/{ONE}","sha256","{"00" * 32}")],'
    f'[("/nix/store/{DRV}",["bin","out"])],["/nix/store/{SOURCE}"],"x86_64-linux","/bin/sh",'
    r'["-c","echo \"a\\b\"\n\r\t"],[("empty",""),("name","one")])'
).encode()

_texts = st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape"))
_names = st.from_regex(r"[a-z0-9+\-._?=]{1,9}", fullmatch=True)
_paths = st.builds(
    lambda hash_part, name: StorePath(f"{hash_part}-{name}"),
    st.text(NIX32_ALPHABET, min_size=32, max_size=32),
    st.from_regex(r"[a-z][a-z0-9+\-._?=]{0,20}", fullmatch=True),
)
_outputs = st.lists(
    st.one_of(
        st.builds(DerivationOutput, name=_names, path=_paths),
        st.builds(DerivationOutput, name=_names, path=st.none(), algorithm=st.just("r:sha256")),
        st.builds(
            DerivationOutput,
            name=_names,
            path=_paths,
            algorithm=st.sampled_from(["md5", "r:sha1", "text:sha256", "sha512"]),
            hash=st.binary(min_size=1, max_size=8).map(bytes.hex),
        ),
    ),
    max_size=3,
    unique_by=lambda output: output.name,
).map(tuple)
_derivations = st.builds(
    Derivation,
    outputs=_outputs,
    input_derivations=st.dictionaries(
        _paths.map(lambda path: StorePath(f"{path}.drv")),
        st.lists(_names, max_size=3, unique=True).map(tuple),
        max_size=3,
    ).map(lambda found: tuple(found.items())),
    input_sources=st.lists(_paths, max_size=3, unique=True).map(tuple),
    platform=_texts,
    builder=_texts,
    arguments=st.lists(_texts, max_size=3).map(tuple),
    environment=st.dictionaries(_texts, _texts, max_size=3).map(lambda env: tuple(env.items())),
)


def _parse(data: bytes, store_dir: StoreDir = STORE) -> Derivation:
    return parse_derivation(data, store_dir, "x.drv")


def test_all_that_may_be_said_is_read_and_written() -> None:
    assert _parse(TEXT) == DERIVATION
    assert print_derivation(DERIVATION, STORE) == TEXT


@given(_derivations, st.sampled_from(["/nix/store", "/gnu/store", "/tmp/a b"]).map(StoreDir))
def test_every_derivation_is_read_back(derivation: Derivation, store_dir: StoreDir) -> None:
    assert _parse(print_derivation(derivation, store_dir), store_dir) == derivation


@st.composite
def _spoiled(draw: st.DrawFn) -> bytes:
    """A text with some bytes cut out, doubled or put in."""
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(TEXT))] * 2)))
    between = draw(st.sampled_from([b"", TEXT[start:end] * 2, b'"', b"\\", b",", b"[]", b"\0"]))
    return TEXT[:start] + between + TEXT[end:]


@given(st.binary() | _spoiled())
def test_what_is_read_is_written_the_same_and_all_else_is_a_typed_error(data: bytes) -> None:
    try:
        derivation = _parse(data)
    except BadFormatError as error:
        message = error.message
    else:
        assert print_derivation(derivation, STORE) == data
        return
    assert message.isprintable()


@pytest.mark.parametrize("end", range(len(TEXT)))
def test_a_text_that_is_cut_is_an_error(end: int) -> None:
    with pytest.raises(BadFormatError, match=r"derivation 'x\.drv', character"):
        _parse(TEXT[:end])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Derive(", b"DrvWithVersion("),
        (b'"out",', b'"out" ,'),
        (b'"ca"', b'"out"'),
        (b'"ca"', b'"c/a"'),
        (b'"r:sha256"', b'"sha3"'),
        (b'"r:sha256",""', b'"","00"'),
        (b'"00', b'"-0'),
        (b"/nix/store/", b"/gnu/store/"),
        (b"two-2.0.drv", b"two-2.0"),
        (b'"bin"', b'"out"'),
        (b'"empty"', b'"name"'),
        (b"\\n", b"\n"),
        (b"\\t", b"\\x"),
        (b'"")', b'"",)'),
        (b'"one")])', b'"one"),])'),
        (b'"one")])', b'"one")])\n'),
    ],
)
def test_another_form_is_an_error(old: bytes, new: bytes) -> None:
    assert old in TEXT
    with pytest.raises(BadFormatError):
        _parse(TEXT.replace(old, new))


def test_bytes_that_are_no_text_survive() -> None:
    data = TEXT.replace(b'one")])', b'\xff\xc3\xa4\0")])')
    assert print_derivation(_parse(data), STORE) == data


def test_a_string_of_megabytes_is_read_back() -> None:
    value = 'a"\\\n' * 500_000
    derivation = Derivation(
        outputs=(), platform="", builder="", environment=(("name", value), ("other", "x" * 10**6))
    )
    assert _parse(print_derivation(derivation, STORE)) == derivation


def _as_nix_shows(derivation: Derivation, store_dir: StoreDir) -> dict[str, Any]:
    full = store_dir.path
    outputs: dict[str, dict[str, str]] = {}
    for output in derivation.outputs:
        outputs[output.name] = {} if output.path is None else {"path": full(output.path)}
        if output.algorithm:
            outputs[output.name]["hashAlgo"] = output.algorithm
        if output.hash:
            outputs[output.name]["hash"] = output.hash
    return {
        "outputs": outputs,
        "inputDrvs": {full(path): list(names) for path, names in derivation.input_derivations},
        "inputSrcs": [full(path) for path in derivation.input_sources],
        "system": derivation.platform,
        "builder": derivation.builder,
        "args": list(derivation.arguments),
        "env": dict(derivation.environment),
    }


METHODS = {"nar": "r:", "flat": "", "text": "text:"}


def _of_paths(shown: dict[str, Any], store_dir: StoreDir) -> dict[str, Any]:
    """What `nix show-derivation` shows, by full paths and with hex hashes, as older Nix does."""
    if shown.get("version") != 4:
        return shown
    found = {}

    def full(name: str) -> str:
        return store_dir.path(StorePath(name))

    for name, derivation in shown["derivations"].items():
        inputs = derivation.pop("inputs")
        assert derivation.pop("version") == 4
        derivation["inputDrvs"] = {full(path): names for path, names in inputs["drvs"].items()}
        derivation["inputSrcs"] = [full(path) for path in inputs["srcs"]]
        for output, told in derivation["outputs"].items():
            if "path" in told:
                told["path"] = full(told["path"])
            if "hash" in told:  # it fixes the path, which is not told then
                told["hashAlgo"], _, digest = told["hash"].partition("-")
                told["hash"] = base64.b64decode(digest).hex()
                told["path"] = derivation["env"][output]
        found[full(name)] = derivation
    return found


def _check_against_nix(shown: dict[str, Any], store_dir: StoreDir) -> None:
    for place, expected in shown.items():
        data = Path(place).read_bytes()
        derivation = _parse(data, store_dir)
        assert print_derivation(derivation, store_dir) == data
        # Newer Nix shows more: a name, outputs of derivations that a build would make, a method.
        expected.pop("name", None)
        for output in expected["outputs"].values():
            if method := output.pop("method", None):
                output["hashAlgo"] = METHODS[method] + output["hashAlgo"]
        inputs = {
            path: names["outputs"] if isinstance(names, dict) else names
            for path, names in expected["inputDrvs"].items()
        }
        assert _as_nix_shows(derivation, store_dir) == {**expected, "inputDrvs": inputs}


@pytest.mark.nix
def test_what_nix_instantiates_is_what_it_shows(tmp_path: Path) -> None:
    nix = Nix.under(tmp_path)
    expression = tmp_path / "expression.nix"
    expression.write_text(
        r"""
        let common = { system = "x"; builder = "/bin/sh"; args = [ "-c" "\"\\\n\r\tä" ]; };
            below = derivation (common // { name = "below"; outputs = [ "bin" "out" ]; });
        in [
          (derivation (common // { name = "one"; source = ./expression.nix; inherit below; }))
          (derivation (common // { name = "two"; below = [ below.bin below.out ]; }))
          (derivation (common // { name = "fixed"; outputHashMode = "recursive";
            outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; }))
          (derivation (common // { name = "ca"; __contentAddressed = true;
            outputHashMode = "recursive"; outputHashAlgo = "sha256"; }))
        ]
        """
    )
    made = nix.run("nix-instantiate", str(expression)).split()
    assert len(made) == 4
    told = json.loads(nix.run("nix", "show-derivation", "-r", *made))
    shown = _of_paths(told, nix.store_dir)
    assert len(shown) == 5
    _check_against_nix(shown, nix.store_dir)


@pytest.mark.nix
@pytest.mark.slow
def test_the_derivations_of_a_whole_system_are_what_nix_shows() -> None:
    need(TOOLS)
    with small().checkout() as store:
        made = sorted(map(str, Path(store.store_dir).glob("*.drv")))
        assert len(made) > 80
        store_dir = StoreDir(store.store_dir)
        shown = _of_paths(json.loads(store.run("nix", "show-derivation", *made)), store_dir)
        assert len(shown) == len(made)
        _check_against_nix(shown, store_dir)

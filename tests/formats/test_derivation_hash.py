"""Output paths: those that Nix has computed, from the same derivations."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from graft.errors import BadFormatError
from graft.formats.derivations.derivation import Derivation, DerivationOutput, parse_derivation
from graft.formats.derivations.hash import (
    DerivationHashes,
    derivation_path,
    fixed_output_path,
    upstream_placeholder,
)
from graft.formats.store_path import StoreDir, StorePath
from tests.debpkgs.built import small
from tests.debpkgs.store import TOOLS
from tests.derivations import Nix

STORE = StoreDir("/nix/store")

# The worked example of Nix Pill 18, "Nix store paths".
MY_FILE = StorePath("xv2iccirbrvklck36f1g7vldn5v58vck-myfile")
FOO = StorePath("hs0yi5n5nw6micqhy8l1igkbhqdkzqa1-foo")
FOO_DRV = StorePath("y4h73bmrc9ii5bxg6i7ck6hsf5gqv8ck-foo.drv")
BAR = StorePath("a00d5f71k0vp5a6klkls0mvr1f7sx6ch-bar")
BAR_DRV = StorePath("ymsf5zcqr9wlkkqdjwhqllgwa97rff5i-bar.drv")
MY_CONTENT = hashlib.sha256(b"mycontent\n").hexdigest()


def none_read(path: StorePath) -> Derivation:
    raise AssertionError(path)


def pill(
    name: str, output: DerivationOutput, builder: str = STORE.path(MY_FILE), **more: str
) -> Derivation:
    """A derivation of the Pill, as its expression evaluates."""
    assert output.path is not None
    environment = {
        "builder": builder,
        "name": name,
        output.name: STORE.path(output.path),
        "system": "x86_64-linux",
        **more,
    }
    return Derivation(
        outputs=(output,),
        input_sources=(MY_FILE,) if builder == STORE.path(MY_FILE) else (),
        platform="x86_64-linux",
        builder=builder,
        environment=tuple(sorted(environment.items())),
    )


def test_the_pill_s_output_path_is_computed() -> None:
    foo = pill("foo", DerivationOutput(name="out", path=FOO))
    assert DerivationHashes(STORE, none_read).output_paths(foo, "foo") == {"out": FOO}
    assert derivation_path(foo, "foo", STORE) == FOO_DRV


def test_the_pill_s_fixed_output_path_is_computed() -> None:
    output = DerivationOutput(name="out", path=BAR, algorithm="sha256", hash=MY_CONTENT)
    bar = pill(
        "bar",
        output,
        "none",
        outputHash=MY_CONTENT,
        outputHashAlgo="sha256",
        outputHashMode="flat",
    )
    assert DerivationHashes(STORE, none_read).output_paths(bar, "bar") == {"out": BAR}
    assert derivation_path(bar, "bar", STORE) == BAR_DRV


def test_a_text_is_named_like_a_file_that_nix_writes() -> None:
    digest = hashlib.sha256(b"text").hexdigest()
    output = DerivationOutput(name="out", path=None, algorithm="text:sha256", hash=digest)
    # What `builtins.toFile "text" "text"` is.
    assert fixed_output_path(output, "text", STORE) == "nhp8sq7q9ijkmif4s3369sjna2ff6gw5-text"


def test_a_hash_in_another_base_is_an_error() -> None:
    output = DerivationOutput(name="out", path=None, algorithm="sha256", hash="zz")
    with pytest.raises(BadFormatError, match="is not in base 16"):
        fixed_output_path(output, "text", STORE)


def test_how_something_is_fetched_changes_nothing_above_it() -> None:
    drv = StorePath(f"{'0' * 32}-src.drv")
    output = DerivationOutput(name="out", path=BAR, algorithm="sha256", hash=MY_CONTENT)
    source = pill("src", output, url="https://one.example/bar")
    above = replace(
        pill("foo", DerivationOutput(name="out", path=FOO)), input_derivations=((drv, ("out",)),)
    )

    def paths(read: Callable[[StorePath], Derivation]) -> dict[str, StorePath | None]:
        return DerivationHashes(STORE, read).output_paths(above, "foo")

    elsewhere = replace(source, environment=(("url", "https://two.example/bar"),))
    other = replace(source, outputs=(replace(output, hash="00" * 32),))
    assert paths(lambda _: source) == paths(lambda _: elsewhere) != paths(lambda _: other)


def nix_paths(nix_store: StoreDir) -> None:
    """Holds every derivation of a store against what is computed of it."""
    read: dict[StorePath, Derivation] = {}
    for file in Path(nix_store).glob("*.drv"):
        path = StorePath(file.name)
        read[path] = parse_derivation(file.read_bytes(), nix_store, path)
    hashes = DerivationHashes(nix_store, read.__getitem__)
    for path, derivation in read.items():
        computed = hashes.output_paths(derivation, path.derivation_name)
        assert computed == {output.name: output.path for output in derivation.outputs}
        assert derivation_path(derivation, path.derivation_name, nix_store) == path


# Of the two that end in `two`, both are equal but for how their source is fetched.
EXPRESSIONS = r"""
let
  common = { system = "x"; builder = "/bin/sh"; };
  fetched = url: derivation (common // { name = "source"; inherit url; outputHashMode = "flat";
    outputHash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; outputHashAlgo = "sha256"; });
  two = src: derivation (common // { name = "two"; outputs = [ "out" "dev" "bin" ];
    inherit src; });
  old = algorithm: hash: mode: derivation (common // { name = "old"; outputHash = hash;
    outputHashAlgo = algorithm; outputHashMode = mode; });
  floating = derivation (common // { name = "floating"; __contentAddressed = true;
    outputHashMode = "recursive"; outputHashAlgo = "sha256"; });
in [
  (derivation (common // { name = "top"; a = (two (fetched "a")).bin; b = (two (fetched "b")).dev;
    text = builtins.toFile "text" "text"; }))
  (derivation (common // { name = "all"; two = (two (fetched "a")).all; }))
  (old "sha1" "da39a3ee5e6b4b0d3255bfef95601890afd80709" "flat")
  (old "md5" "d41d8cd98f00b204e9800998ecf8427e" "recursive")
  (derivation (common // { name = "structured"; __structuredAttrs = true; a.b = [ 1 "x" ]; }))
  (derivation (common // { name = "above"; inherit floating; }))
]
"""


@pytest.mark.nix
def test_nix_computes_the_same_of_every_kind(tmp_path: Path) -> None:
    nix = Nix.under(tmp_path)
    expression = tmp_path / "expression.nix"
    expression.write_text(EXPRESSIONS)
    nix.run("nix-instantiate", str(expression))
    assert len(list(Path(nix.store_dir).glob("*.drv"))) == 11
    nix_paths(nix.store_dir)
    (above,) = Path(nix.store_dir).glob("*-above.drv")
    (floating,) = Path(nix.store_dir).glob("*-floating.drv")
    assert upstream_placeholder(StorePath(floating.name), "out") in above.read_text()


@pytest.mark.slow
@pytest.mark.nix
@pytest.mark.needs(*TOOLS)
def test_nix_computes_the_same_of_a_whole_system() -> None:
    with small().checkout() as store:
        nix_paths(StoreDir(store.store_dir))

"""Output paths: those that Nix has computed, from the same derivations."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from graft.errors import BadFormatError
from graft.formats.derivations.derivation import DerivationOutput, parse_derivation
from graft.formats.derivations.output_path import (
    fixed_output_path,
    output_path_name,
    upstream_placeholder,
)
from graft.formats.store_path import StoreDir, StorePath
from tests.derivations import Nix

STORE = StoreDir("/nix/store")

# The worked example of Nix Pill 18, "Nix store paths".
BAR = StorePath("a00d5f71k0vp5a6klkls0mvr1f7sx6ch-bar")
MY_CONTENT = hashlib.sha256(b"mycontent\n").hexdigest()


def test_the_fixed_output_path_of_the_pill_is_computed() -> None:
    output = DerivationOutput(name="out", path=None, algorithm="sha256", hash=MY_CONTENT)
    assert fixed_output_path(output, "bar", STORE) == BAR


def test_a_text_is_named_like_a_file_that_nix_writes() -> None:
    digest = hashlib.sha256(b"text").hexdigest()
    output = DerivationOutput(name="out", path=None, algorithm="text:sha256", hash=digest)
    # What `builtins.toFile "text" "text"` is.
    assert fixed_output_path(output, "text", STORE) == "nhp8sq7q9ijkmif4s3369sjna2ff6gw5-text"


def test_a_hash_in_another_base_is_an_error() -> None:
    output = DerivationOutput(name="out", path=None, algorithm="sha256", hash="zz")
    with pytest.raises(BadFormatError, match="is not in base 16"):
        fixed_output_path(output, "text", STORE)


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
    files = list(Path(nix.store_dir).glob("*.drv"))
    assert len(files) == 11
    compared = 0
    for file in files:
        path = StorePath(file.name)
        for output in parse_derivation(file.read_bytes(), nix.store_dir, path).outputs:
            if output.is_fixed:
                name = output_path_name(path.derivation_name, output.name)
                assert fixed_output_path(output, name, nix.store_dir) == output.path
                compared += 1
    assert compared == 4
    (above,) = Path(nix.store_dir).glob("*-above.drv")
    (floating,) = Path(nix.store_dir).glob("*-floating.drv")
    assert upstream_placeholder(StorePath(floating.name), "out") in above.read_text()

"""`graft key`: keys as Nix's own programs make and take them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from graft.cli import run
from graft.formats.signature import PublicKey
from graft.store.trust import read_secret_key
from tests.real_nix import RealNix
from tests.store_objects import new_store


def test_a_key_is_made_once_and_only_its_public_half_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    assert run(["key", "generate", "cache.example.org-1", "-o", str(file)]) == 0
    out = capsys.readouterr().out
    assert PublicKey.parse(out).name == "cache.example.org-1"
    assert file.stat().st_mode & 0o777 == 0o600
    secret = file.read_text()
    assert run(["key", "public", str(file)]) == 0
    assert capsys.readouterr().out == out
    assert run(["key", "generate", "another-1", "-o", str(file)]) == 2
    assert "File exists" in capsys.readouterr().err
    assert file.read_text() == secret
    assert run(["key", "public", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": 1,
        "name": "cache.example.org-1",
        "public_key": out.strip(),
        "file": str(file),
    }


@pytest.mark.parametrize("name", ["", "a:b", "a b", "a\n"])
def test_a_bad_name_makes_no_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["key", "generate", name, "-o", str(tmp_path / "key")]) == 2
    assert "is no name of a key" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_no_error_shows_a_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "key"
    run(["key", "generate", "k-1", "-o", str(file)])
    secret = file.read_text().partition(":")[2]
    capsys.readouterr()
    # Cut, spoilt, taken for its public half, and without its name.
    file.write_text(f"k-1:{secret[:-9]}")
    job = ["apply", "x", "--replace=a=b", f"--store={new_store(tmp_path).url}"]
    for arguments, says in [
        (["key", "public", str(file)], "is no secret key"),
        ([*job, "--sign-key", str(file)], "is no secret key"),
        ([*job, "--trusted-public-keys", f"k-1:{secret}"], "public key 'k-1' has 64 bytes"),
        ([*job, "--trusted-public-keys", f"k-1:{secret[:-9]}"], "'k-1' is no public key"),
        ([*job, "--trusted-public-keys", secret], "is no public key"),
    ]:
        assert run([*arguments, "-vv", "--json"]) == 2
        out, err = capsys.readouterr()
        assert says in err
        for start in range(0, len(secret) - 40, 8):
            assert secret[start : start + 40] not in out + err


@pytest.mark.nix
def test_nix_and_graft_make_the_same_of_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nix = RealNix(new_store(tmp_path).location, tmp_path)

    def public_by_nix(file: Path) -> str:
        with file.open() as secret:
            return subprocess.run(
                ["nix", "key", "convert-secret-to-public"],
                stdin=secret,
                env=nix.environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()

    ours = tmp_path / "ours"
    run(["key", "generate", "ours-1", "-o", str(ours)])
    assert capsys.readouterr().out.strip() == public_by_nix(ours)

    theirs, public = tmp_path / "theirs", tmp_path / "theirs.pub"
    nix.run("nix-store", "--generate-binary-cache-key", "theirs-1", str(theirs), str(public))
    assert run(["key", "public", str(theirs)]) == 0
    assert capsys.readouterr().out.strip() == public.read_text().strip() == public_by_nix(theirs)

    newer = tmp_path / "newer"
    newer.write_text(nix.run("nix", "key", "generate-secret", "--key-name", "newer-1"))
    assert read_secret_key(str(newer)).name == "newer-1"
    assert run(["key", "public", str(newer)]) == 0
    assert capsys.readouterr().out.strip() == public_by_nix(newer)

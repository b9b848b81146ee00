"""Whom Nix's configuration trusts, held against what Nix itself says."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from graft.errors import BadFormatError
from graft.formats.signature import SecretKey
from graft.store.nix_settings import NixSettings

KEYS = [str(SecretKey.generate(f"k-{number}").public_key) for number in range(4)]


def _write(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def _environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "NIX_CONF_DIR": str(tmp_path / "etc"),
        "XDG_CONFIG_DIRS": f"{tmp_path}/xdg-a:{tmp_path}/xdg-b",
        **more,
    }


def _files(tmp_path: Path) -> None:
    _write(
        tmp_path / "etc/nix.conf",
        "trusted-users = root @wheel # the admins",
        f"extra-trusted-public-keys = {KEYS[0]}",
        "include sub/more.conf",
        "!include secrets.conf",
    )
    _write(tmp_path / "etc/sub/more.conf", f"extra-trusted-public-keys = {KEYS[1]}")
    _write(tmp_path / "home/.config/nix/nix.conf", "extra-trusted-users = home")
    _write(tmp_path / "xdg-a/nix/nix.conf", "extra-trusted-users = a")
    _write(tmp_path / "xdg-b/nix/nix.conf", "trusted-users = b", "require-sigs = false")


@pytest.mark.nix
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"NIX_CONFIG": f"trusted-public-keys={KEYS[2]}"},
        {"NIX_CONFIG": f"trusted-public-keys = {KEYS[2]}\nrequire-sigs = true"},
        {"NIX_CONFIG": f"extra-binary-cache-public-keys = {KEYS[3]}"},
        {"NIX_CONFIG": "trusted-public-keys =\ntrusted-users ="},
        {"NIX_CONFIG": "include NONE"},
        {"NIX_USER_CONF_FILES": ""},
        {"NIX_USER_CONF_FILES": "TMP/xdg-a/nix/nix.conf:TMP/xdg-b/nix/nix.conf:TMP/none"},
        {"XDG_CONFIG_HOME": "TMP/xdg-b"},
        {"XDG_CONFIG_DIRS": "", "HOME": "TMP/nobody"},
        {"NIX_CONF_DIR": "TMP/nowhere"},
    ],
)
def test_nix_reads_the_same_settings(tmp_path: Path, more: dict[str, str]) -> None:
    _files(tmp_path)
    more = {name: value.replace("TMP", str(tmp_path)) for name, value in more.items()}
    environment = _environment(tmp_path, **more)
    shown = subprocess.run(
        ["nix", "--extra-experimental-features", "nix-command", "show-config", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode != 0:
        with pytest.raises(BadFormatError):
            NixSettings.of_user(environment)
        return
    theirs = {name: setting["value"] for name, setting in json.loads(shown.stdout).items()}
    ours = NixSettings.of_user(environment)
    assert list(map(str, ours.trusted_public_keys)) == theirs["trusted-public-keys"]
    assert list(ours.trusted_users) == theirs["trusted-users"]
    assert ours.require_sigs == theirs["require-sigs"]


def test_a_daemon_reads_neither_the_users_files_nor_their_environment(tmp_path: Path) -> None:
    _files(tmp_path)
    settings = NixSettings.of_daemon(_environment(tmp_path, NIX_CONFIG="trusted-users = *"))
    assert settings.trusted_users == ("root", "@wheel")
    assert settings.require_sigs
    assert settings.file == str(tmp_path / "etc/nix.conf")


def test_users_are_trusted_by_name_by_group_or_all(tmp_path: Path) -> None:
    def trusts(users: str) -> bool:
        _write(tmp_path / "etc/nix.conf", f"trusted-users = {users}")
        return NixSettings.of_daemon(_environment(tmp_path)).trusts_this_user()

    name, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    assert all(map(trusts, [name, f"x {name}", f"@{group}", "*"]))
    assert not any(map(trusts, ["", "nobody-else", "@no-such-group", "@", f"{name}x"]))
    others = [one for one in grp.getgrall() if one.gr_name != group]
    assert [one.gr_name for one in others if trusts(f"@{one.gr_name}")] == [
        one.gr_name for one in others if name in one.gr_mem
    ]


def test_the_users_own_files_go_before_the_machines(tmp_path: Path) -> None:
    def users(**more: str) -> str:
        return " ".join(NixSettings.of_user(_environment(tmp_path, **more)).trusted_users)

    _files(tmp_path)
    assert users() == "b a home"
    assert users(XDG_CONFIG_HOME=f"{tmp_path}/xdg-b") == "b"
    assert users(XDG_CONFIG_DIRS="", HOME=f"{tmp_path}/none") == "root @wheel"
    assert users(NIX_USER_CONF_FILES="") == "root @wheel"
    assert users(NIX_USER_CONF_FILES=f"{tmp_path}/xdg-a/nix/nix.conf:") == "root @wheel a"
    assert users(NIX_CONFIG="extra-trusted-users = last") == "b a home last"
    with pytest.raises(BadFormatError, match="NIX_CONFIG includes 'x': give its absolute path"):
        users(NIX_CONFIG="include x")
    assert users(NIX_CONFIG=f"!include {tmp_path}/none") == "b a home"


def test_what_is_no_key_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    _write(tmp_path / "etc/nix.conf", "trusted-public-keys = k-1:x")
    with pytest.raises(BadFormatError, match="Nix's setting 'trusted-public-keys' is wrong: 'k-1'"):
        NixSettings.of_user(_environment(tmp_path))


def test_a_file_that_is_no_text_is_an_error_and_one_out_of_reach_is_none(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nix.conf").write_bytes(b"a = \xff")
    with pytest.raises(BadFormatError, match="is no text"):
        NixSettings.of_user(_environment(tmp_path))
    _write(tmp_path / "etc/nix.conf", "include directory")
    (tmp_path / "etc/directory").mkdir()
    assert NixSettings.of_user(_environment(tmp_path)).trusted_users == ("root",)

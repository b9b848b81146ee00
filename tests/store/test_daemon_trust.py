"""Whether a daemon will take what is made: its settings say so before anything is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.errors import DaemonError, UntrustedUserError, UsageError
from graft.formats.signature import SecretKey
from graft.store.api import LOCAL_PRIORITY
from graft.store.daemon import DaemonStore
from tests.graftable import Graftable
from tests.store_objects import new_store

KEY, OTHER = SecretKey.generate("trusted-1"), SecretKey.generate("other-1")


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


@pytest.fixture
def daemon(it: Graftable, tmp_path: Path) -> Iterator[DaemonStore]:
    """A store whose daemon trusts one key and no user."""
    conf = tmp_path / "conf" / "nix.conf"
    conf.parent.mkdir()
    conf.write_text(f"trusted-public-keys = {KEY.public_key}\ntrusted-users = nobody-at-all\n")
    environment = {"NIX_CONF_DIR": str(conf.parent), "PATH": str(tmp_path)}
    with DaemonStore(it.store.location, environment) as store:
        yield store


def test_what_a_trusted_key_signs_or_contents_name_is_accepted(daemon: DaemonStore) -> None:
    daemon.check_accepted([KEY])
    daemon.check_accepted([OTHER, KEY])
    daemon.check_accepted([], content_addressed=True)


@pytest.mark.parametrize(
    ("keys", "why"),
    [([], "nothing is signed"), ([OTHER], r"it does not trust the key 'other-1'")],
)
def test_whoever_is_not_trusted_is_told_why_and_which_keys_are(
    daemon: DaemonStore, tmp_path: Path, keys: list[SecretKey], why: str
) -> None:
    with pytest.raises(UntrustedUserError, match=rf"from you: {why}, .* \(trusted-1\)") as caught:
        daemon.check_accepted(keys)
    assert caught.value.fields["file"] == str(tmp_path / "conf" / "nix.conf")
    assert caught.value.fields["trusted_keys"] == ["trusted-1"]


def test_where_no_key_is_trusted_the_message_says_none(daemon: DaemonStore, tmp_path: Path) -> None:
    (tmp_path / "conf" / "nix.conf").write_text("trusted-public-keys =\ntrusted-users =\n")
    with pytest.raises(UntrustedUserError, match=r"\(none\) or --content-addressed"):
        daemon.check_accepted([KEY])


@pytest.mark.parametrize("line", ["trusted-users = *", "require-sigs = false"])
def test_settings_that_ask_for_no_signature_are_enough(
    daemon: DaemonStore, tmp_path: Path, line: str
) -> None:
    (tmp_path / "conf" / "nix.conf").write_text(f"{line}\n")
    daemon.check_accepted([])


def test_it_reads_the_store_itself(daemon: DaemonStore, it: Graftable) -> None:
    assert daemon.valid_paths() == it.store.valid_paths()
    assert daemon.path_infos([it.env]) == it.store.path_infos([it.env])
    assert daemon.tree(it.env) == it.store.tree(it.env)
    assert daemon.resolve(str(it.env)) == it.env
    assert daemon.free_bytes() > 0
    assert daemon.is_trusted
    assert daemon.priority == LOCAL_PRIORITY
    assert (daemon.store_dir, daemon.url) == (it.store.store_dir, it.store.url)


def test_a_repair_is_refused_before_a_path_is_made(daemon: DaemonStore) -> None:
    with pytest.raises(UsageError, match="leave out --repair"), daemon.receiving(repair=True):
        pytest.fail("a cache was opened")


def test_without_nixs_programs_the_error_names_the_program(daemon: DaemonStore) -> None:
    with pytest.raises(DaemonError, match=r"cannot run 'nix store'.*No such file or directory"):
        daemon.check_writable()
    with pytest.raises(DaemonError, match="cannot run 'nix-store'"):
        daemon.add_root("link", next(iter(daemon.valid_paths())))


def test_a_program_that_fails_is_an_error_with_its_own_words(
    daemon: DaemonStore, tmp_path: Path
) -> None:
    program = tmp_path / "nix"
    program.write_text("#!/bin/sh\necho some words >&2\necho error: no way >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(DaemonError, match="'nix store' failed with status 3: no way") as caught:
        daemon.check_writable()
    assert caught.value.fields["status"] == 3
    program.write_text("#!/bin/sh\nprintf '\\033[31;1mother words\\033[0m\\n\\n' >&2\nexit 1\n")
    with pytest.raises(DaemonError, match=r"status 1: other words$"):
        daemon.check_writable()
    program.write_text("#!/bin/sh\nexit 4\n")
    with pytest.raises(DaemonError, match="status 4: it has said nothing"):
        daemon.check_writable()
    program.write_text("#!/bin/sh\nexit 0\n")
    daemon.check_writable()

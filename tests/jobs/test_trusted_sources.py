"""Grafts from caches take what somebody trusted has signed, and what is named by its contents."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from graft.cli import run
from graft.formats.narinfo import parse_narinfo, print_narinfo
from graft.formats.signature import SecretKey, fingerprint, parse_signature
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.store.api import path_info
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.trust import signed_narinfo, write_secret_key
from tests.caches import STORE, cache_of, spoil
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.serving import serving
from tests.store_objects import add_object, opened

KEY, OTHER = SecretKey.generate("key-1"), SecretKey.generate("other-1")
FORGER = SecretKey.generate("key-1")


def _store(directory: Path) -> LocalStore:
    """A store whose paths are those of /nix/store."""
    location = Location.at_root(str(directory))
    LocalStore.create(location)
    return opened(location)


@dataclass(frozen=True)
class Grafting:
    """The little closure in a cache, and the command line."""

    it: Graftable
    directory: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def source(self) -> Path:
        return self.directory / "source"

    @property
    def target(self) -> Path:
        return self.directory / "target"

    def sign(self, *keys: SecretKey, paths: Iterable[StorePath] = ()) -> None:
        """Signs all paths, or these."""
        for path in paths or self.it.store.valid_paths():
            file = self.source / f"{path.hash_part}.narinfo"
            info = signed_narinfo(parse_narinfo(file.read_text(), STORE, file.name), keys, STORE)
            file.write_text(print_narinfo(info, STORE))

    def apply(self, *arguments: str, status: int = 0) -> str:
        """`graft apply` from cache to cache; what it says on stderr."""
        it = self.it
        job = [it.env, f"--replace={it.old}={it.new}", f"--to=file://{self.target}"]
        returned = run([f"--store=file://{self.source}", "apply", *job, *arguments])
        error = self.capsys.readouterr().err
        assert returned == status, error
        if status:
            assert list(self.target.glob("*.narinfo")) == []
            assert list(self.target.glob("nar/*")) == []
        else:
            assert len(list(self.target.glob("*.narinfo"))) == 4
        return error

    def configure(self, *lines: str) -> None:
        """Writes the machine's nix.conf."""
        conf = self.directory / "etc" / "nix.conf"
        conf.parent.mkdir(exist_ok=True)
        conf.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def grafting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Grafting:
    for name in ("NIX_CONFIG", "NIX_USER_CONF_FILES", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NIX_CONF_DIR", str(tmp_path / "etc"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    it = Graftable.build(_store(tmp_path / "store"))
    cache_of(it.store, tmp_path / "source").close()
    return Grafting(it, tmp_path, capsys)


def test_what_a_given_key_has_signed_is_taken(grafting: Grafting) -> None:
    grafting.sign(KEY)
    grafting.apply(f"--trusted-public-keys={KEY.public_key}")


def test_each_path_needs_one_of_the_keys(grafting: Grafting) -> None:
    it = grafting.it
    grafting.sign(KEY, paths=[it.env, it.app])
    grafting.sign(OTHER, paths=[it.new, it.data])
    error = grafting.apply(f"--trusted-public-keys={KEY.public_key}", status=2)
    assert "is signed by 'other-1' only, which is not trusted (trusted: key-1)" in error
    grafting.apply(f"--trusted-public-keys={KEY.public_key} {OTHER.public_key}")


def test_the_option_may_be_given_several_times(grafting: Grafting) -> None:
    grafting.sign(OTHER)
    keys = [f"--trusted-public-keys={key.public_key}" for key in (KEY, OTHER)]
    grafting.apply(*keys)


def test_nixs_configuration_says_whom_to_trust(grafting: Grafting) -> None:
    grafting.sign(KEY)
    error = grafting.apply(status=2)
    assert "(trusted: cache.nixos.org-1)" in error
    grafting.configure(f"extra-trusted-public-keys = {KEY.public_key}")
    grafting.apply()


def test_a_key_that_is_given_is_the_only_one(grafting: Grafting) -> None:
    grafting.sign(KEY)
    grafting.configure(f"trusted-public-keys = {KEY.public_key}")
    error = grafting.apply(f"--trusted-public-keys={OTHER.public_key}", status=2)
    assert "(trusted: other-1)" in error
    assert "(trusted: none)" in grafting.apply("--trusted-public-keys=", status=2)


def _not_at_all(grafting: Grafting) -> None:
    del grafting


def _by_another_of_its_name(grafting: Grafting) -> None:
    grafting.sign(FORGER)


def _of_another_path(grafting: Grafting) -> None:
    it = grafting.it
    grafting.sign(KEY)
    info = path_info(it.store, it.new)
    text = fingerprint(it.new, info.nar_hash, info.nar_size, info.references, STORE)
    spoil(grafting.source, it.app, signatures=frozenset({KEY.sign(text)}))


def _before_it_was_changed(grafting: Grafting) -> None:
    it = grafting.it
    grafting.sign(KEY)
    spoil(grafting.source, it.app, references=frozenset({it.old}))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (_not_at_all, "is not signed"),
        (_by_another_of_its_name, "the trusted key 'key-1' has not made"),
        (_of_another_path, "the trusted key 'key-1' has not made"),
        (_before_it_was_changed, "the trusted key 'key-1' has not made"),
    ],
)
def test_what_nobody_trusted_has_signed_is_refused_before_any_work(
    grafting: Grafting, how: Callable[[Grafting], None], says: str
) -> None:
    how(grafting)
    error = grafting.apply(f"--trusted-public-keys={KEY.public_key}", status=2)
    assert says in error


def test_without_checks_everything_is_taken_and_no_configuration_is_read(
    grafting: Grafting,
) -> None:
    grafting.configure("this is no configuration")
    error = grafting.apply(status=2)
    assert f"line 1 of '{grafting.directory}/etc/nix.conf' is no setting" in error
    grafting.apply("--no-check-sigs")


def test_a_store_on_this_machine_needs_no_signatures(grafting: Grafting) -> None:
    it = grafting.it
    grafting.configure("this is no configuration")
    job = ["apply", it.env, f"--replace={it.old}={it.new}", f"--to=file://{grafting.target}"]
    assert run([f"--store={it.store.location.url}", *job]) == 0


def test_names_from_contents_need_no_signatures(tmp_path: Path, grafting: Grafting) -> None:
    it = grafting.it
    made = apply(it.store, [it.env], {it.old: it.new}, addressing="content").plan
    root = made.new_roots[it.env]
    old = next(path for path in made.new_references if path.name == "lib-1.1")
    new = next(path for path in made.new_references if path.name == "data-1")
    with cache_of(it.store, tmp_path / "contents") as cache:
        assert not any(info.signatures for info in cache.path_infos([root, old, new]).values())
    job = ["apply", root, f"--replace={old}={new}", f"--to=file://{grafting.target}"]
    job += ["--store", f"file://{tmp_path}/contents", "--allow-missing-files"]
    assert run(job) == 0
    # A name from other contents is none.
    file = tmp_path / "contents" / f"{new.hash_part}.narinfo"
    info = parse_narinfo(file.read_text(), STORE, file.name)
    assert info.content_address is not None
    wrong = replace(info, content_address=replace(info.content_address, digest=bytes(32)))
    file.write_text(print_narinfo(wrong, STORE))
    assert run([*job, "--repair"]) == 2
    assert "is not signed" in grafting.capsys.readouterr().err


@pytest.mark.nix
def test_a_real_nix_substitutes_what_was_signed_and_only_that(
    tmp_path: Path, grafting: Grafting
) -> None:
    it = grafting.it
    grafting.sign(OTHER)
    secret = tmp_path / "secret"
    write_secret_key(str(secret), KEY)
    grafting.apply(f"--trusted-public-keys={OTHER.public_key}", f"--sign-key={secret}", "--json")
    infos = [
        parse_narinfo(file.read_text(), STORE, file.name)
        for file in grafting.target.glob("*.narinfo")
    ]
    # What was made here is signed by this key alone, what was taken over by both.
    for info in infos:
        names = {parse_signature(signature)[0] for signature in info.signatures}
        kept = info.path in {it.new, it.data}
        assert names == ({"key-1", "other-1"} if kept else {"key-1"})
    (root,) = (STORE.path(info.path) for info in infos if info.path.name == "env-1")
    elsewhere = _store(tmp_path / "elsewhere")
    nix = RealNix(elsewhere.location, tmp_path)
    with serving(grafting.target) as server:
        substituted = ["-r", root, "--option", "substituters", server.url]
        keys = ["--option", "trusted-public-keys"]
        for wrong in (OTHER, FORGER):
            with pytest.raises(AssertionError, match="not signed by any of the keys"):
                nix.run("nix-store", *substituted, *keys, str(wrong.public_key))
        nix.run("nix-store", *substituted, *keys, str(KEY.public_key))
        copied = _store(tmp_path / "copied")
        by_copy = RealNix(copied.location, tmp_path)
        by_copy.run("nix", "copy", "--from", server.url, root, *keys, str(KEY.public_key))
        with pytest.raises(AssertionError, match="signature"):
            RealNix(_store(tmp_path / "refusing").location, tmp_path).run(
                "nix", "copy", "--from", server.url, root, *keys, str(OTHER.public_key)
            )
    for store, tool in ((elsewhere, nix), (copied, by_copy)):
        assert store.valid_paths() == {info.path for info in infos}
        tool.check()
        tool.run(
            "nix", "store", "verify", "-r", "--sigs-needed", "1", root, *keys, str(KEY.public_key)
        )


@pytest.mark.nix
def test_signatures_in_a_store_are_those_of_the_real_nix(
    tmp_path: Path, grafting: Grafting
) -> None:
    it = grafting.it
    secret = tmp_path / "secret"
    write_secret_key(str(secret), KEY)
    job = ["apply", it.env, f"--replace={it.old}={it.new}", f"--sign-key={secret}", "--json"]
    grafting.capsys.readouterr()
    assert run([f"--store={it.store.location.url}", *job]) == 0
    out = json.loads(grafting.capsys.readouterr().out)
    made = [path for old, path in out["paths"].items() if os.path.basename(old) != it.old]
    assert len(made) == 2
    nix = RealNix(it.store.location, tmp_path)
    keys = ["--option", "trusted-public-keys", str(KEY.public_key)]
    nix.run("nix", "store", "verify", "--sigs-needed", "1", *made, *keys)
    with pytest.raises(AssertionError, match="untrusted"):
        nix.run("nix", "store", "verify", "--sigs-needed", "1", STORE.path(it.data), *keys)
    paths = [StorePath(os.path.basename(path)) for path in made]
    ours = {path: path_info(it.store, path).signatures for path in paths}
    nix.run("nix", "store", "sign", "--key-file", str(secret), *made)
    with LocalStore(location=it.store.location) as store:
        assert {path: path_info(store, path).signatures for path in paths} == ours
    assert all(len(signatures) == 1 for signatures in ours.values())


def test_a_new_from_a_cache_needs_a_signature_too(tmp_path: Path, grafting: Grafting) -> None:
    it = grafting.it
    other = _store(tmp_path / "other")
    new = add_object(other, "lib-1.2", {"lib": b"newer\n"})
    cache_of(other, tmp_path / "news").close()
    job = ["apply", it.env, f"--replace={it.old}={new}", f"--from=file://{tmp_path}/news"]
    assert run([f"--store={it.store.location.url}", *job]) == 2
    error = grafting.capsys.readouterr().err
    assert f"path '{STORE.path(new)}' of the store 'file://{tmp_path}/news' is not signed" in error
    assert it.store.path_infos([new]) == {}

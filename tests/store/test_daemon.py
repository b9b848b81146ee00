"""A user who may not write the store: Nix's daemon does, if it trusts the user or the signature."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import pytest

from graft.cli import run
from graft.formats.signature import SecretKey
from graft.formats.store_path import StoreDir, StorePath
from graft.store.daemon import DaemonStore
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.trust import write_secret_key
from tests.caches import cache_of
from tests.collecting import run_collector
from tests.graftable import Graftable
from tests.nix_answers import content_addressed, path_infos
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nix,
    pytest.mark.skipif(os.geteuid() != 0, reason="a store of somebody else's, and a user: as root"),
]

# As another user Python's own files may be out of reach: what is loaded late is loaded now.
for _module in [
    "encodings.ascii",
    "encodings.idna",
    "rich.console",
    "rich.table",
    "lzma",
    "compression.zstd" if find_spec("compression") else "backports.zstd",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "graft.cli.all_roots",
    "graft.cli.commands.apply",
    "graft.cli.commands.batch",
    "graft.cli.commands.status",
    "graft.cli.commands.ungraft",
]:
    importlib.import_module(_module)

TRUSTED, OTHER = SecretKey.generate("trusted-1"), SecretKey.generate("other-1")


@contextmanager
def _daemon(tmp_path: Path, nix: RealNix, *lines: str) -> Iterator[None]:
    """Nix's daemon as root on the store of a test."""
    conf = tmp_path / "nix-conf" / "nix.conf"
    conf.write_text(conf.read_text() + "".join(f"{line}\n" for line in lines))
    with (tmp_path / "daemon-log").open("wb") as log:
        process = subprocess.Popen(["nix-daemon"], env=nix.environment, stderr=log)
    try:
        socket = tmp_path / "state" / "daemon-socket" / "socket"
        while not socket.exists():
            assert process.poll() is None, (tmp_path / "daemon-log").read_text()
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Multi:
    """A store of root's with a daemon, and an ordinary user."""

    it: Graftable
    tmp_path: Path
    capsys: pytest.CaptureFixture[str]

    def apply(
        self,
        *arguments: str,
        status: int = 0,
        new: StorePath | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[str, str]:
        """`graft apply` of the graft, in this process; what it prints."""
        replacement = f"{self.full(self.it.old)}={self.full(new or self.it.new)}"
        return self.run(
            "apply",
            self.full(self.it.env),
            f"--replace={replacement}",
            *arguments,
            status=status,
            environment=environment,
        )

    def run(
        self,
        *arguments: str,
        status: int = 0,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[str, str]:
        """A command line, in this process; what it prints."""
        temporary = self.tmp_path / "temporary"
        temporary.mkdir(exist_ok=True)
        os.environ.update({**self.environment, "TMPDIR": str(temporary), **environment})
        tempfile.tempdir = None
        returned = run(arguments)
        out, err = self.capsys.readouterr()
        assert returned == status, err
        assert os.listdir(temporary) == []
        return out, err

    @property
    def environment(self) -> dict[str, str]:
        location = self.it.store.location
        return {
            "NIX_STORE_DIR": location.real_store_dir,
            "NIX_STATE_DIR": location.state_dir,
            "NIX_CONF_DIR": str(self.tmp_path / "nix-conf"),
            "HOME": str(self.tmp_path / "home"),
        }

    def full(self, path: StorePath) -> str:
        return self.it.store.store_dir.path(path)

    def key_file(self, key: SecretKey) -> str:
        file = self.tmp_path / f"{key.name}.secret"
        write_secret_key(str(file), key)
        return str(file)

    def valid_paths(self) -> set[StorePath]:
        """As a new connection sees them."""
        with LocalStore(location=self.it.store.location) as store:
            return store.valid_paths()


@pytest.fixture(params=[()])
def multi(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Multi]:
    with new_store(tmp_path) as store:
        it = Graftable.build(store)
    nix = RealNix(it.store.location, tmp_path)
    with _daemon(tmp_path, nix, *request.param):
        yield Multi(it, tmp_path, capsys)
    nix.check()


def _collect() -> None:
    """Collects, as the user, through the daemon."""
    done = run_collector(["nix-store", "--gc"], {**os.environ, "NIX_REMOTE": "daemon"})
    assert done.returncode == 0, done.stderr


@as_ordinary_user
def test_protected_paths_outlive_a_collection_until_the_store_is_closed(
    tmp_path: Path, multi: Multi
) -> None:
    new, env = multi.it.new, multi.it.env
    os.environ.update(multi.environment)
    with DaemonStore(multi.it.store.location, os.environ) as daemon:
        daemon.protect([env, new])
        _collect()
        assert {env, new, multi.it.old} <= multi.valid_paths()
    _collect()
    assert not {env, new} & multi.valid_paths()


@pytest.mark.parametrize("round_", range(4))
@as_ordinary_user
def test_a_graft_through_the_daemon_stands_while_a_collector_runs_in_a_loop(
    tmp_path: Path, multi: Multi, round_: int
) -> None:
    os.environ.update(multi.environment)
    link, keep = tmp_path / f"link-{round_}", tmp_path / "keep"
    with DaemonStore(multi.it.store.location, os.environ) as daemon:
        for path in (multi.it.env, multi.it.new):
            daemon.add_root(f"{keep}-{path.name}", path)
    loop = subprocess.Popen(
        ["sh", "-c", "while :; do nix-store --gc; done"],
        env={**os.environ, "NIX_REMOTE": "daemon"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        out, _ = multi.apply(*content_addressed(), "--add-root", str(link))
    finally:
        os.killpg(loop.pid, signal.SIGTERM)
        loop.wait()
    _collect()
    done = subprocess.run([f"{out.strip()}/bin/run"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "new"


trusting = pytest.mark.parametrize(
    "multi", [(f"trusted-public-keys = {TRUSTED.public_key}",)], indirect=True
)


@trusting
@as_ordinary_user
def test_what_a_trusted_key_has_signed_goes_through_the_daemon(
    tmp_path: Path, multi: Multi
) -> None:
    link, profile = tmp_path / "patched", tmp_path / "profile"
    out, err = multi.apply(
        "--sign-key",
        multi.key_file(TRUSTED),
        "--add-root",
        str(link),
        "--profile",
        str(profile),
        "--json",
    )
    document = json.loads(out)
    new_root = document["new_roots"][multi.full(multi.it.env)]
    assert "through the Nix daemon" in err
    assert document["rewritten_paths"] == 2
    assert document["proof"]["residual"] == document["proof"]["problems"] == []
    assert os.readlink(link) == os.path.realpath(profile) == new_root
    assert os.stat(new_root).st_uid == 0
    done = subprocess.run([f"{link}/bin/run"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "new"
    # Again: it is there.
    again, _ = multi.apply("--sign-key", f"{tmp_path}/trusted-1.secret", "--json")
    assert json.loads(again)["resumed_paths"] == 2
    # The root keeps it.
    _collect()
    assert os.path.exists(f"{new_root}/bin/run")


@as_ordinary_user
def test_names_from_contents_need_no_trust(tmp_path: Path, multi: Multi) -> None:
    out, _ = multi.apply(*content_addressed(), "--add-root", str(tmp_path / "link"))
    done = subprocess.run([f"{out.strip()}/bin/run"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "new"
    info = subprocess.run(
        ["nix", "path-info", "--json", out.strip()],
        env={**os.environ, "NIX_REMOTE": "daemon"},
        capture_output=True,
        check=True,
    )
    assert path_infos(info.stdout.decode())[0]["ca"].startswith("fixed:r:sha256:")


@pytest.fixture
def news(tmp_path: Path) -> StorePath:
    """NEW in a cache, signed by a key the daemon does not know."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    location = Location(
        store_dir=StoreDir(str(tmp_path / "store")),
        real_store_dir=str(directory / "store"),
        state_dir=str(directory / "state"),
    )
    LocalStore.create(location)
    with LocalStore(location=location) as store:
        new = add_object(store, "lib-1.2", {"lib": b"newer\n"})
        cache_of(store, tmp_path / "news").close()
    return new


@trusting
@as_ordinary_user
def test_new_from_a_cache_goes_through_the_daemon_too(
    tmp_path: Path, multi: Multi, news: StorePath
) -> None:
    out, _ = multi.apply(
        f"--from=file://{tmp_path}/news",
        "--no-check-sigs",
        f"--sign-key={multi.key_file(TRUSTED)}",
        "--allow-missing-files",
        "--json",
        new=news,
    )
    new_root = json.loads(out)["new_roots"][multi.full(multi.it.env)]
    done = subprocess.run([f"{new_root}/bin/run"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[0] == "newer"
    assert news in multi.valid_paths()


@trusting
@as_ordinary_user
def test_without_trust_nothing_is_begun(tmp_path: Path, multi: Multi) -> None:
    before = multi.valid_paths()
    out, _ = multi.apply("--json", status=2)
    error = json.loads(out)["error"]
    assert error["kind"] == "untrusted-user"
    assert error["trusted_keys"] == ["trusted-1"]
    assert "nothing is signed" in error["message"]
    forger = SecretKey.generate("trusted-1")
    for key in (OTHER, forger):
        file = multi.key_file(key)
        out, err = multi.apply("--sign-key", file, "--add-root", f"{tmp_path}/link", status=2)
        assert out == ""
        assert f"it does not trust the key '{key.name}'" in err
        assert file not in err
    assert multi.valid_paths() == before
    assert not os.path.lexists(tmp_path / "link")


@pytest.mark.parametrize(
    "multi",
    [
        ("trusted-users = root nobody",),
        ("trusted-users = @nogroup",),
        ("trusted-users = *",),
        ("require-sigs = false",),
    ],
    indirect=True,
)
@as_ordinary_user
def test_whom_the_daemon_trusts_needs_no_key(tmp_path: Path, multi: Multi) -> None:
    out, _ = multi.apply("--add-root", str(tmp_path / "link"))
    assert os.readlink(tmp_path / "link") == out.strip()


@trusting
@as_ordinary_user
def test_what_the_daemon_refuses_after_all_is_an_error_in_its_words(
    tmp_path: Path, multi: Multi
) -> None:
    # A configuration that is not the daemon's.
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "nix.conf").write_text("trusted-users = *\nsubstituters =\n")
    before = multi.valid_paths()
    out, err = multi.apply(status=2, environment={"NIX_CONF_DIR": str(conf)})
    assert out == ""
    assert "'nix copy' failed with status 1" in err
    assert "lacks" in err
    assert multi.valid_paths() == before


@trusting
@as_ordinary_user
def test_the_daemon_is_for_those_who_want_it(tmp_path: Path, multi: Multi) -> None:
    key = ["--sign-key", multi.key_file(TRUSTED)]
    before = multi.valid_paths()
    location = multi.it.store.location
    for arguments, environment, said in [
        ([f"--store={location.url}"], {}, "you may not write"),
        ([], {"NIX_REMOTE": "ssh://host"}, "you may not write"),
        ([], {"NIX_DAEMON_SOCKET_PATH": f"{tmp_path}/none"}, "you may not write"),
        ([], {"NIX_REMOTE": f"unix://{tmp_path}/none"}, "cannot connect to socket"),
        (["--add-root=/none/link"], {}, "no directory '/none'"),
        (["--repair"], {"NIX_REMOTE": "daemon"}, "repairs no grafted paths"),
        ([], {"PATH": str(tmp_path)}, "cannot run 'nix store'"),
    ]:
        kept = dict(os.environ)
        out, err = multi.apply(*arguments, *key, status=2, environment=environment)
        assert out == ""
        assert said in err.splitlines()[-1]
        os.environ.clear()
        os.environ.update(kept)
    assert multi.valid_paths() == before
    temporary = tmp_path / "a b%20?#"
    temporary.mkdir()
    multi.apply("--to=auto", *key, environment={"TMPDIR": str(temporary)})
    assert os.listdir(temporary) == []


@trusting
@as_ordinary_user
def test_an_interrupted_job_leaves_nothing(tmp_path: Path, multi: Multi) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "nix").write_text(
        f'#!/bin/sh\n[ "$1" = copy ] || exec {shutil.which("nix")} "$@"\n'
        f"touch {programs}/copying\nkill -INT $PPID\nsleep 60\n"
    )
    (programs / "nix").chmod(0o755)
    before = multi.valid_paths()
    multi.apply(
        "--sign-key",
        multi.key_file(TRUSTED),
        status=130,
        environment={"PATH": f"{programs}:{os.environ['PATH']}"},
    )
    assert (programs / "copying").exists()
    assert multi.valid_paths() == before


@trusting
@as_ordinary_user
def test_no_collector_takes_what_is_needed_or_what_was_made(tmp_path: Path, multi: Multi) -> None:
    # Nothing of the closure has a root. The collector comes before the copy, and right after it.
    programs = tmp_path / "programs"
    programs.mkdir()
    collected = tmp_path / "collected"
    real = shutil.which("nix")
    (programs / "nix").write_text(
        "#!/bin/sh\n"
        # As tests/collecting.py: another test may have a directory open that is too deep for it.
        f"collect() {{ until nix-store --gc 2>>{collected}; do sleep 0.5; done; }}\n"
        f'[ "$1" = copy ] || exec {real} "$@"\n'
        f'collect && {real} "$@" && collect\n'
    )
    (programs / "nix").chmod(0o755)
    link = tmp_path / "link"
    before = multi.valid_paths()
    multi.apply(
        f"--sign-key={multi.key_file(TRUSTED)}",
        f"--add-root={link}",
        environment={"PATH": f"{programs}:{os.environ['PATH']}"},
    )
    assert collected.read_text().count("deleting unused links") >= 2
    assert multi.valid_paths() > before
    # What the temporary directory has kept, nothing keeps now.
    _collect()
    it = multi.it
    assert multi.valid_paths().isdisjoint({it.env, it.app, it.old})
    assert os.path.exists(f"{link}/bin/run")


@trusting
@as_ordinary_user
def test_a_batch_goes_through_the_daemon_if_it_is_trusted(tmp_path: Path, multi: Multi) -> None:
    it, jobs = multi.it, tmp_path / "jobs.toml"
    text = "".join(
        f'[[job]]\nname = "{root.name}"\nroots = ["{multi.full(root)}"]\n'
        f'replacements = {{"{multi.full(it.old)}" = "{multi.full(it.new)}"}}\n'
        for root in (it.env, it.app)
    )
    jobs.write_text(text)
    before = multi.valid_paths()
    out, _ = multi.run("batch", str(jobs), "--json", status=1)
    assert json.loads(out.splitlines()[-1])["jobs"][0]["error"]["kind"] == "untrusted-user"
    assert multi.valid_paths() == before
    jobs.write_text(f'sign-keys = ["{multi.key_file(TRUSTED)}"]\n{text}')
    _, err = multi.run("batch", str(jobs), "--json")
    assert len(multi.valid_paths() - before) == 2
    assert err.count("from there through the Nix daemon") == 1
    _, err = multi.run("batch", str(jobs), "--fail-fast")  # each job opens the store anew
    assert err.count("from there through the Nix daemon") == 1


@trusting
@as_ordinary_user
def test_who_has_made_a_graft_sees_it_and_takes_it_back(tmp_path: Path, multi: Multi) -> None:
    it, profile = multi.it, tmp_path / "profile"
    out, _ = multi.apply(
        f"--sign-key={multi.key_file(TRUSTED)}", f"--profile={profile}", "--note=CVE-2026-1"
    )
    new = StorePath(os.path.basename(out.strip()))
    assert not (tmp_path / "state" / "graft").exists()
    kept = tmp_path / "home" / ".local" / "state" / "graft"
    assert len(list(kept.glob("grafts-*.sqlite"))) == 1
    out, _ = multi.run("status")
    assert "note: CVE-2026-1" in out
    assert f"profile {profile}, generation 1: in force" in out
    assert multi.run("ungraft", "lib")[0] == f"{profile}\n"
    assert os.readlink(tmp_path / "profile-2-link") == multi.full(it.env)
    _collect()
    assert {it.env, it.app, it.old} <= multi.valid_paths()
    assert multi.valid_paths().isdisjoint({new, it.new})


@pytest.fixture
def system(multi: Multi) -> str:
    """A profile of root's."""
    with LocalStore(location=multi.it.store.location) as store:
        profile = f"{store.location.state_dir}/profiles/system"
        store.switch_profile(profile, multi.it.env)
    return profile


@trusting
@as_ordinary_user
def test_of_all_roots_a_user_turns_only_his_own(tmp_path: Path, multi: Multi, system: str) -> None:
    it, profile = multi.it, tmp_path / "profile"
    key = multi.key_file(TRUSTED)
    os.environ.update(multi.environment)
    with DaemonStore(it.store.location, os.environ) as daemon:
        daemon.switch_profile(str(profile), it.env)
    assert os.path.realpath(profile) == multi.full(it.env)
    out, err = multi.run(
        "apply",
        "--all-roots",
        f"--replace={multi.full(it.old)}={multi.full(it.new)}",
        f"--sign-key={key}",
    )
    assert f"'{system}' stays unchanged: it belongs to another user" in err
    assert os.path.realpath(profile) == out.strip()
    assert os.path.realpath(system) == multi.full(it.env)

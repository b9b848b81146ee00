"""NixOS systems activated: what is started, in which order, and what is left over.

There is no NixOS here: a stub has the interface of a system, `nixos-version` and
`bin/switch-to-configuration`. tests/nixos has a test of a real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from graft.errors import ActivationError
from graft.formats.store_path import StorePath
from graft.machine.activation import Remainder, activate, check_system, find_remainders, started_by
from graft.machine.processes import Process, systemd_unit
from graft.store.local import LocalStore
from tests.cli.lines import CommandLine
from tests.graftable import Graftable
from tests.store_objects import add_object, new_store

_STUB = """#!/bin/sh
echo "$1 {self} profile=$(readlink {profile}) bootloader=$NIXOS_INSTALL_BOOTLOADER" >> {log}
echo "would $1" # NixOS says such things on stdout and stderr
exit $(cat {status})
"""


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    return Graftable.build(new_store(tmp_path))


@pytest.fixture
def system(it: Graftable, tmp_path: Path) -> StorePath:
    """A system that leads to OLD; what it does is in `log`, and ends as `status` says."""
    full = it.store.store_dir.path
    profile = f"{it.store.location.state_dir}/profiles/system"
    (tmp_path / "status").write_text("0")
    script = _STUB.replace("{profile}", profile).replace("{log}", str(tmp_path / "log"))
    script = script.replace("{status}", str(tmp_path / "status"))
    initrd = add_object(it.store, "initrd-1", {"initrd": b"old"})
    kernel = add_object(it.store, "linux-1", {"bzImage": b"kernel"})
    return add_object(
        it.store,
        "nixos-system-host-26.05",
        {
            "nixos-version": b"26.05",
            "init": b"#!/bin/sh\n",
            "kernel": f"{full(kernel)}/bzImage",
            "initrd": f"{full(initrd)}/initrd",
            "sw": full(it.env),
            "bin": {"switch-to-configuration": script.encode()},
        },
        [it.env, kernel, initrd],
    )


@pytest.fixture
def line(
    it: Graftable,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> CommandLine:
    """Where systemd runs it is never asked."""
    _add_systemd_run(tmp_path, monkeypatch)
    return CommandLine(capfd, it.store.url)


def _add_systemd_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    stub = programs / "systemd-run"
    stub.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/units\n'
        'while [ "$1" != --wait ]; do shift; done; shift; exec "$@"\n'
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)


def _said(tmp_path: Path) -> list[list[str]]:
    return [line.split() for line in (tmp_path / "log").read_text().splitlines()]


@pytest.mark.parametrize(
    ("action", "steps", "generation"),
    [
        ("switch", ["dry-activate", "switch"], "system-1-link"),
        ("boot", ["boot"], "system-1-link"),
        ("test", ["dry-activate", "test"], ""),
        ("dry-activate", ["dry-activate"], ""),
    ],
)
def test_the_profile_comes_first_then_what_would_be_done_then_that(
    line: CommandLine,
    it: Graftable,
    system: StorePath,
    tmp_path: Path,
    action: str,
    steps: list[str],
    generation: str,
) -> None:
    out, err = line("apply", system, f"--replace={it.old}={it.new}", f"--activate={action}")
    (new_root,) = out.splitlines()
    assert new_root.endswith("-nixos-system-host-26.05")
    assert _said(tmp_path) == [
        [step, new_root, f"profile={generation}", "bootloader="] for step in steps
    ]
    assert all(f"would {step}" in err for step in steps)


def test_going_back_may_activate_too(
    line: CommandLine, it: Graftable, system: StorePath, tmp_path: Path
) -> None:
    profile = f"{it.store.location.state_dir}/profiles/system"
    original = it.store.store_dir.path(system)
    it.store.switch_profile(profile, system)
    grafted = line("apply", system, f"--replace={it.old}={it.new}", "--activate=boot")[0].strip()
    line("profile", "rollback", profile, "--activate=boot")
    line("profile", "switch", profile, "2", "--activate=boot")
    line("ungraft", "lib", "--activate=switch")
    assert [words[:3] for words in _said(tmp_path)] == [
        ["boot", grafted, "profile=system-2-link"],
        ["boot", original, "profile=system-1-link"],
        ["boot", grafted, "profile=system-2-link"],
        ["dry-activate", original, "profile=system-1-link"],
        ["switch", original, "profile=system-1-link"],
    ]


def test_of_all_that_is_grafted_the_system_is_activated(
    line: CommandLine, it: Graftable, system: StorePath, tmp_path: Path
) -> None:
    apply = ("apply", "--all-roots", f"--replace={it.old}={it.new}")
    it.store.add_root(str(tmp_path / "result"), it.env)
    assert "is not among" in line(*apply, "--activate=switch", status=2)[1]
    profile = f"{it.store.location.state_dir}/profiles/system"
    it.store.switch_profile(profile, system)
    assert "name the system itself" in line(*apply, "--activate=test", status=2)[1]
    document = line.json(*apply, "--activate=boot")
    assert document["left"] == {}
    new_root = document["new_roots"][it.store.store_dir.path(system)]
    assert _said(tmp_path) == [["boot", new_root, "profile=system-2-link", "bootloader="]]
    assert os.path.realpath(tmp_path / "result") in document["new_roots"].values()


def test_an_activation_that_fails_is_an_error_and_the_generation_stands(
    line: CommandLine, it: Graftable, system: StorePath, tmp_path: Path
) -> None:
    (tmp_path / "status").write_text("4")
    out, err = line(
        "apply",
        system,
        f"--replace={it.old}={it.new}",
        "--activate=boot",
        "--json",
        status=2,
    )
    assert "ended with status 4" in err
    assert json.loads(out)["error"]["kind"] == "activation"
    assert os.readlink(f"{it.store.location.state_dir}/profiles/system") == "system-1-link"


def test_what_is_no_system_is_refused_before_anything_is_done(
    line: CommandLine, it: Graftable, system: StorePath
) -> None:
    before = it.store.valid_paths()
    replace = f"--replace={it.old}={it.new}"
    _, err = line("apply", it.env, replace, "--activate=switch", status=2)
    assert "is no NixOS system" in err
    line("apply", system, it.env, replace, "--activate=switch", status=2)
    line("apply", system, replace, "--activate=switch", "--to=/nowhere", status=2)
    assert it.store.valid_paths() == before


def test_with_systemd_it_happens_in_a_unit_of_its_own(
    it: Graftable, system: StorePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add_systemd_run(tmp_path, monkeypatch)
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    full = it.store.store_dir.path(system)
    activate(full, "switch", os.environ, machine=str(tmp_path))
    units = (tmp_path / "units").read_text().splitlines()
    assert len(units) == len(_said(tmp_path)) == 2
    options = (
        "-E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER= -E NIXOS_NO_CHECK --collect "
        "--no-ask-password --pipe --quiet --service-type=exec"
    )
    assert units[1].startswith(options)
    assert units[1].endswith(f"--wait {full}/bin/switch-to-configuration switch")


def test_a_missing_part_of_a_system_is_named(tmp_path: Path) -> None:
    (tmp_path / "nixos-version").write_text("26.05")
    with pytest.raises(ActivationError, match="it has no 'bin/switch-to-configuration'"):
        check_system(str(tmp_path))


def test_a_program_that_cannot_be_started_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(ActivationError, match=r"cannot start '.*/bin/switch-to-config.*': No such"):
        activate(str(tmp_path / "none"), "boot", os.environ, machine=str(tmp_path))


def test_what_still_runs_old_is_listed(it: Graftable, system: StorePath, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        cwd=it.tree(it.old),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = list(find_remainders(it.store, system, [it.old], machine=str(tmp_path)))
        assert [one.pids for one in found] == [(process.pid,)]
        process.communicate()
    assert list(find_remainders(it.store, system, [it.old], machine=str(tmp_path))) == []


@pytest.mark.parametrize(
    ("pid", "groups", "kind", "advice"),
    [
        (1, "0::/init.scope", "first-process", "systemctl daemon-reexec"),
        (7, "0::/system.slice/nginx.service", "service", "systemctl restart nginx.service"),
        (
            7,
            "0::/machine.slice/container@web.service/payload/system.slice/nginx.service",
            "container",
            "systemctl restart container@web.service",
        ),
        (7, "0::/machine.slice/machine-a\\x2db.scope", "container", "restart the container"),
        (
            7,
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/emacs.service",
            "session",
            "systemctl --user restart emacs.service",
        ),
        (
            7,
            "0::/user.slice/user-1000.slice/user@1000.service/init.scope",
            "session",
            "log out and in again",
        ),
        (7, "0::/user.slice/user-1000.slice/session-3.scope", "session", "log out and in again"),
        (7, "0::/", "session", "end it and start it again"),
    ],
)
def test_who_must_start_a_process_again_is_seen_by_its_group(
    pid: int, groups: str, kind: str, advice: str
) -> None:
    process = Process(pid=pid, program="p", user="u", unit=systemd_unit(f"{groups}\n"), uses={})
    found, _, what_to_do = started_by(process, f"{groups}\n")
    assert (found, what_to_do) == (kind, advice)


def test_another_kernel_or_initrd_waits_for_a_reboot(
    it: Graftable, system: StorePath, tmp_path: Path
) -> None:
    booted = add_object(
        it.store,
        "nixos-system-host-25.11",
        {
            "kernel": it.store.store_dir.path(it.data),
            "initrd": os.readlink(f"{it.tree(system)}/initrd"),
        },
        [it.data],
    )
    (tmp_path / "run").mkdir()
    (tmp_path / "run/booted-system").symlink_to(it.tree(booted))
    (found,) = find_remainders(it.store, system, [it.old], machine=str(tmp_path))
    assert (found.kind, found.what) == ("reboot", "kernel")


def test_wrappers_that_start_old_programs_are_listed(
    it: Graftable, system: StorePath, tmp_path: Path
) -> None:
    directory = tmp_path / "run/wrappers/bin"
    directory.mkdir(parents=True)
    for name, path in (("old", it.app), ("other", it.data)):
        wrapper = directory / name
        wrapper.write_text(f"{it.store.store_dir.path(path)}/bin/run")
        wrapper.chmod(0o4755)
    (found,) = find_remainders(it.store, system, [it.old], machine=str(tmp_path))
    assert (found.kind, found.what) == ("wrapper", str(directory / "old"))
    assert it.app in found.advice


def test_containers_that_lead_to_old_are_listed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    from graft.store.location import Location  # noqa: PLC0415

    LocalStore.create(Location.at_root(str(root)))
    with LocalStore(root=str(root)) as store:
        it = Graftable.build(store)
        settings = root / "etc/nixos-containers"
        settings.mkdir(parents=True)
        (settings / "web.conf").write_text(f"SYSTEM_PATH={store.store_dir.path(it.env)}\n")
        (settings / "db.conf").write_text(f"SYSTEM_PATH={store.store_dir.path(it.data)}\n")
        found = list(find_remainders(store, it.data, [it.old], machine=str(root)))
    assert [(one.kind, one.what) for one in found] == [("container", "web")]
    assert isinstance(found[0], Remainder)

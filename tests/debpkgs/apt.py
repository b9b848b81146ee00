"""apt's configuration: the machine's own on Debian 12, else one whose packages are Debian 12's."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

SUITE = "bookworm"

_KEYRINGS = "/usr/share/keyrings/debian-archive-keyring"
_CONFIGURATION = """\
Dir::Etc::sourcelist "{0}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "{0}/state";
Dir::State::status "{0}/status";
Dir::Cache "{0}/cache";
APT::Sandbox::User "root";
"""


@functools.cache
def environment() -> Mapping[str, str]:
    """The environment in which apt's programs know Debian 12's packages, from the machine's mirror.

    Raises:
        CalledProcessError: the package lists cannot be fetched.
    """
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(ORIGIN) $(REPO_URI)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    known = [line.split() for line in targets if line.split()[1:2] == ["Debian"]]
    if not known or any(codename == SUITE for codename, *_ in known):
        return os.environ
    from .cache import cache_dir, locked  # noqa: PLC0415 - its imports need the index

    directory = cache_dir() / "apt"
    made = {**os.environ, "APT_CONFIG": str(directory / "apt.conf")}
    with locked(directory):
        if not (directory / "apt.conf").exists():
            _fetch_lists(directory, known[0][2], made)
    return made


def _fetch_lists(directory: Path, mirror: str, environment: Mapping[str, str]) -> None:
    keyring = next(name for end in ("gpg", "pgp") if os.path.exists(name := f"{_KEYRINGS}.{end}"))
    for name in ("state/lists/partial", "cache/archives/partial"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "status").touch()
    source = f"deb [signed-by={keyring}] {mirror} {SUITE} main\n"
    (directory / "sources.list").write_text(source, encoding="utf-8")
    configuration = directory / "apt.conf.new"
    configuration.write_text(_CONFIGURATION.format(directory), encoding="utf-8")
    subprocess.run(
        ["apt-get", "-q=2", "update"],
        env={**environment, "APT_CONFIG": str(configuration)},
        check=True,
        capture_output=True,
    )
    configuration.rename(directory / "apt.conf")

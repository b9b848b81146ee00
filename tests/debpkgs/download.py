"""Archives fetched by apt into a directory that names them by their content."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .apt import environment
from .cache import cache_dir
from .index import Package, PackageIndexError, index_files, load_index

# apt's command line has a limit, and one failed download should not cost all the others.
_BATCH = 60


class DownloadError(RuntimeError):
    """apt could not fetch a package, or what it fetched is not what the index promised."""


def archive_path(package: Package, directory: Path) -> Path:
    """Where a package's archive is kept."""
    return directory / f"{package.sha256}.deb"


def newest(*names: str) -> list[Path]:
    """The archives of packages that are in no set, of the versions that apt would install."""
    index, directory = load_index(index_files()), cache_dir() / "debs"
    packages = []
    for name in names:
        package = index.candidate(name, {})
        if package is None:
            raise PackageIndexError(f"apt does not know {name}: run `apt-get update` first")
        packages.append(package)
    download(packages, directory)
    return [archive_path(package, directory) for package in packages]


def download(packages: Iterable[Package], directory: Path) -> None:
    """Fetches every archive that is not there yet; each is checked before it gets its name."""
    directory.mkdir(parents=True, exist_ok=True)
    missing = [p for p in packages if not archive_path(p, directory).exists()]
    for start in range(0, len(missing), _BATCH):
        # beside its final place, so that a rename is enough
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            _fetch(missing[start : start + _BATCH], Path(scratch), directory)


def _fetch(packages: list[Package], scratch: Path, directory: Path) -> None:
    # apt would give up root's rights for an account that can not write here
    command = ["apt-get", "-q=2", "-o", "APT::Sandbox::User=root", "download"]
    wanted = [f"{p.name}={p.version}" for p in packages]
    run = subprocess.run(
        [*command, *wanted],
        cwd=scratch,
        env=environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    if run.returncode != 0:
        raise DownloadError(
            f"apt-get download failed (does `apt-get update` help?): {run.stderr.strip()[-500:]}"
        )
    fetched = {_sha256(path): path for path in scratch.iterdir()}
    for package in packages:
        path = fetched.get(package.sha256)
        if path is None:
            raise DownloadError(f"{package.name} {package.version} has not the index's SHA-256")
        path.rename(archive_path(package, directory))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

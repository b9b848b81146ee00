"""A read-only store in a chroot whose / is no mount point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import graft
from graft.kernel.native import load
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.bind_mount import needs_mounts
from tests.graftable import Graftable

pytestmark = [
    pytest.mark.slow,
    needs_mounts,
    pytest.mark.skipif(load() is None, reason="only the C extension can mount"),
]

# A mount that is shared, as systemd makes all, stands for the machine: what is mounted below it in
# another namespace would be seen here.
_SCRIPT = """
set -eu
machine=$1 read_only=$2
root=$machine/root
shift 2
mount --bind "$machine" "$machine"
mount --make-private "$machine"
mount --make-shared "$machine"
mount --bind "$root/nix/var" "$root/nix/var"
while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --rbind "$1" "$root$1"
    shift
done
shift
[ "$read_only" = "$machine" ] || mount --bind "$read_only" "$read_only"
mount -o remount,bind,ro "$read_only"
cat /proc/self/mountinfo >"$machine.before"
chroot "$root" "$@"
cat /proc/self/mountinfo >"$machine.after"
"""
_PRIVATELY = (
    "import os, sys; from graft.kernel.native import load; load().unshare_mounts(); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def _needed() -> list[str]:
    """The directories that graft needs in a chroot."""
    checkout = os.path.dirname(os.path.dirname(graft.__file__))
    places = ["/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/dev"]
    places += [sys.base_prefix, sys.prefix, checkout]
    return [place for place in dict.fromkeys(places) if os.path.isdir(place)]


@pytest.mark.parametrize("read_only", ["root/nix/store", "."])
def test_a_store_is_written_in_a_chroot_and_no_mount_comes_back(
    tmp_path: Path, read_only: str
) -> None:
    machine = tmp_path / "machine"
    root = machine / "root"
    location = Location.at_root(str(root))
    LocalStore.create(location)
    with LocalStore(location=location) as store:
        it = Graftable.build(store)
        full = store.store_dir.path
        pair = f"{full(it.old)}={full(it.new)}"
        arguments = ["apply", full(it.env), "--replace", pair]
    done = subprocess.run(
        [
            *[sys.executable, "-c", _PRIVATELY, "sh", "-c", _SCRIPT, "sh"],
            *[str(machine), os.path.normpath(machine / read_only), *_needed()],
            *["--", sys.executable, "-m", "graft", *arguments],
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert os.path.isdir(f"{root}{done.stdout.strip()}")
    before, after = (Path(f"{machine}.{when}").read_text() for when in ("before", "after"))
    assert after == before

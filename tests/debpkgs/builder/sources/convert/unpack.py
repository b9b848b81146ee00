"""A .deb's files moved into an output, with /usr merged into its top."""

import os
import shutil
import subprocess

# Directories of a running system: a store path has no use for what a package puts there.
VOLATILE = frozenset(("tmp", "run", "proc", "dev", "sys"))


def unpack(archive: str, staging: str, output: str) -> None:
    """Unpacks one .deb and merges it into an output."""
    os.mkdir(staging)
    # Modes are not preserved: Nix's seccomp filter refuses set-user-ID bits, and files belong to
    # the build user anyway.
    source = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE)
    extract = ["tar", "-x", "--no-same-permissions", "--no-same-owner"]
    subprocess.run(
        [*extract, "--delay-directory-restore", "-C", staging], stdin=source.stdout, check=True
    )
    if source.wait() != 0:
        raise RuntimeError(f"dpkg-deb can not read {archive}")
    subprocess.run(["chmod", "-R", "u+w", staging], check=True)
    os.makedirs(output, exist_ok=True)
    for top in sorted(os.listdir(staging)):
        path = os.path.join(staging, top)
        if top == "usr":
            for name in sorted(os.listdir(path)):
                merge(os.path.join(path, name), os.path.join(output, name))
        elif top not in VOLATILE:
            merge(path, os.path.join(output, top))


def merge(source: str, target: str) -> None:
    """Moves a file or a tree to a place where there may be one; real files win over links."""
    if not os.path.lexists(target):
        _move(source, target)
    elif os.path.islink(source) or not os.path.isdir(source):
        target_is_link = os.path.islink(target)
        if not target_is_link and (os.path.islink(source) or os.path.isdir(target)):
            return
        os.unlink(target)
        _move(source, target)
    else:
        for name in os.listdir(source):
            merge(os.path.join(source, name), os.path.join(target, name))


def _move(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except OSError:  # the build directory and the store may be two file systems
        shutil.move(source, target)

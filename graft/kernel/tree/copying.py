"""One regular file made from another, in the cheapest way that works: the pure twin's means."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

FICLONE = 0x40049409  # include/uapi/linux/fs.h: _IOW(0x94, 9, int)
SPARE = 131072  # bytes copied at a time where the kernel does not do it

# After one of these no file of the same two file systems can be cloned.
NO_REFLINKS = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}

# src/libstore/local-store.cc of Nix leaves these attributes alone.
HARMLESS_ATTRIBUTES = {"security.selinux", "system.nfs4_acl"}


def is_canonical(descriptor: int, status: os.stat_result, owner: int) -> bool:
    """Whether a file may be shared unchanged: a link would spread wrong metadata.

    As Nix does, compares the owner but not the group.
    """
    if (
        int(status.st_mtime_ns // 1_000_000_000) != 1
        or stat.S_IMODE(status.st_mode) not in {0o444, 0o555}
        or status.st_uid != owner
    ):
        return False
    try:
        return HARMLESS_ATTRIBUTES.issuperset(os.listxattr(descriptor))
    except OSError as error:
        return error.errno == errno.EOPNOTSUPP


def reflink(source: int, target: int) -> None:
    """Lets an empty file share the blocks of another; OSError if it cannot."""
    fcntl.ioctl(target, FICLONE, source)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Writes all of `data` where the descriptor stands."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def copy_bytes(source: int, target: int, size: int) -> int:
    """Copies the first `size` bytes of a file into an empty one.

    The kernel does it, and may share the blocks, as far as it will.

    Returns:
        The bytes copied: fewer than `size` if the file ends before.
    """
    at = 0
    try:
        while at < size:
            count = os.copy_file_range(source, target, min(size - at, 1 << 30), offset_src=at)
            if not count:
                break
            at += count
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise
    while at < size:
        data = os.pread(source, min(size - at, SPARE), at)
        if not data:
            break
        write_all(target, data)
        at += len(data)
    return at


def strip_default_acl(descriptor: int) -> None:
    """Takes a new file's or directory's inherited ACL away: ACLs have no place in a store."""
    for name in ("system.posix_acl_default", "system.posix_acl_access"):
        try:
            os.removexattr(descriptor, name)
        except OSError:
            continue  # it has no such ACL, or there are no ACLs here


def on_overlay(directory: bytes) -> bool:
    """Whether a directory lies on overlayfs, where a hard link copies the whole file up first.

    The file system's type is the type of the mount whose device number the directory has: see
    proc(5), /proc/pid/mountinfo.
    """
    try:
        device = os.stat(directory).st_dev
        with open("/proc/self/mountinfo", "rb") as mounts:
            number = b"%d:%d" % (os.major(device), os.minor(device))
            for line in mounts:
                mount, _, file_system = line.partition(b" - ")
                if mount.split()[2] == number:
                    return file_system.split()[0] == b"overlay"
    except OSError:
        pass
    return False

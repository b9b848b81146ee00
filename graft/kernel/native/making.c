#include "walk.h"

#include <errno.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define KERNEL_COPY (64u << 20) /* bytes the kernel is asked to copy at a time */
#define SPARE 131072 /* bytes copied at a time where it does not */
#define OVERLAYFS 0x794c7630 /* f_type; linux/magic.h names it only in recent headers */

const struct timespec mtime_1[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

void begun(walk *w, int target)
{
    if (w->report->begun)
        return;
    w->report->begun = 1;
    if (target >= 0) {
        (void)fremovexattr(target, "system.posix_acl_default");
        (void)fremovexattr(target, "system.posix_acl_access");
    }
}

int finish(walk *w, int target, mode_t mode)
{
    const char *call = NULL;
    if (w->set_owner && fchown(target, w->job->owner, w->job->group))
        call = "fchown";
    else if (fchmod(target, mode))
        call = "fchmod";
    else if (futimens(target, mtime_1))
        call = "futimens";
    int code = errno;
    if (close(target) && !call && errno != EINTR) { /* the descriptor is gone all the same */
        call = "close";
        code = errno;
    }
    errno = code;
    return call ? fail_target(w, call) : 0;
}

int write_all(walk *w, int target, const uint8_t *bytes, size_t length)
{
    while (length) {
        ssize_t n = write(target, bytes, length);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return fail_target(w, "write");
        }
        bytes += n;
        length -= (size_t)n;
    }
    return 0;
}

/* In the kernel, which may share the blocks, as far as it will, then by reading. */
int copy_bytes(walk *w, int source, int target, uint64_t size)
{
    loff_t at = 0;
    while ((uint64_t)at < size) {
        uint64_t left = size - (uint64_t)at;
        size_t ask = left < KERNEL_COPY ? (size_t)left : KERNEL_COPY;
        ssize_t n = copy_file_range(source, &at, target, NULL, ask, 0);
        if (n > 0 || (n < 0 && errno == EINTR)) {
            if (worked(w, ask))
                return -1;
            continue;
        }
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
            return fail_target(w, "copy_file_range");
        break; /* not between these file systems, or not in this kernel */
    }
    if ((uint64_t)at < size && need(w, &w->spare, SPARE))
        return -1;
    while ((uint64_t)at < size) {
        uint64_t left = size - (uint64_t)at;
        ssize_t n = pread(source, w->spare, left < SPARE ? (size_t)left : SPARE, at);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return fail_source(w, "pread");
        }
        if (n == 0)
            return fail(w, GRAFT_TREE_CHANGED, "pread", 0);
        if (write_all(w, target, w->spare, (size_t)n))
            return -1;
        at += n;
        if (worked(w, (uint64_t)n))
            return -1;
    }
    return 0;
}

int is_overlay(walk *w, const char *target)
{
    struct statfs status;
    const char *slash = strrchr(target, '/');
    if (append(w, &w->new_path, target, slash ? (size_t)(slash - target) + 1 : 0))
        return -1;
    int result = statfs(slash ? w->new_path.bytes : ".", &status);
    w->new_path.bytes[w->new_path.length = 0] = 0;
    return result == 0 && (uint32_t)status.f_type == OVERLAYFS;
}

#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static int symbolic(walk *w, const place *from, const place *to)
{
    char target[PATH_MAX + 1];
    int changed;
    ssize_t n = readlinkat(from->directory, from->name, target, sizeof target);
    if (n < 0)
        return fail_source(w, "readlinkat");
    size_t length = (size_t)n;
    if (length == sizeof target) {
        errno = ENAMETOOLONG;
        return fail_source(w, "readlinkat");
    }
    target[length] = 0;
    w->report->symlinks++;
    if (rewrite_text(w, target, length, &changed))
        return -1;
    if (memchr(target, 0, length)) {
        errno = EINVAL;
        return fail_target(w, "symlinkat");
    }
    if (search_text(w, target, length, GRAFT_IN_TARGET) || nar_symlink(w, target, length))
        return -1;
    if (!to)
        return 0;
    if (symlinkat(target, to->directory, to->name))
        return fail_target(w, "symlinkat");
    begun(w, -1);
    if (w->set_owner && fchownat(to->directory, to->name, w->job->owner, w->job->group,
                                 AT_SYMLINK_NOFOLLOW))
        return fail_target(w, "fchownat");
    if (utimensat(to->directory, to->name, mtime_1, AT_SYMLINK_NOFOLLOW))
        return fail_target(w, "utimensat");
    return 0;
}

int know_type(walk *w, const place *from, uint8_t *type)
{
    struct stat status;
    if (*type != DT_UNKNOWN)
        return 0;
    if (fstatat(from->directory, from->name, &status, AT_SYMLINK_NOFOLLOW))
        return fail_source(w, "fstatat");
    *type = IFTODT(status.st_mode);
    return 0;
}

int leaf(walk *w, const place *from, const place *to, uint8_t type)
{
    switch (type) {
    case DT_REG:
        return regular(w, from, to);
    case DT_LNK:
        return symbolic(w, from, to);
    default:
        return fail(w, GRAFT_TREE_UNSUPPORTED, "fstatat", 0);
    }
}

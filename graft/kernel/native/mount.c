#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#ifndef ST_NOSYMFOLLOW
#define ST_NOSYMFOLLOW 0x2000 /* Linux 5.10 */
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

static int make_private(void)
{
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* In a chroot, / may be no mount point. The mount that holds it then has no name there, and a bind
 * mount below would come back to its peers. setns to the namespace that this thread is in already
 * leads to the namespace's own root, below which all mounts lie. 0 or errno. */
static int make_private_beyond_chroot(void)
{
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int own = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
    int code = 0;
    if (root < 0 || here < 0 || own < 0 || setns(own, CLONE_NEWNS)) {
        code = errno;
    } else {
        if (make_private())
            code = errno;
        if (fchdir(root) || chroot(".") || fchdir(here))
            code = errno;
    }
    if (root >= 0)
        (void)close(root);
    if (here >= 0)
        (void)close(here);
    if (own >= 0)
        (void)close(own);
    return code;
}

int graft_unshare_mounts(void)
{
    if (unshare(CLONE_NEWNS))
        return errno;
    if (!make_private())
        return 0;
    return errno == EINVAL ? make_private_beyond_chroot() : errno;
}

static unsigned long mount_flags(unsigned long status)
{
    static const struct {
        unsigned long status, mount;
    } kept[] = {
        {ST_NODEV, MS_NODEV},
        {ST_NOSUID, MS_NOSUID},
        {ST_NOEXEC, MS_NOEXEC},
        {ST_NOSYMFOLLOW, MS_NOSYMFOLLOW},
    };
    /* No flag for access times: a remount without any leaves them as they are. */
    unsigned long flags = 0;
    for (unsigned i = 0; i < sizeof kept / sizeof *kept; i++)
        if (status & kept[i].status)
            flags |= kept[i].mount;
    return flags;
}

int graft_remount_writable(const char *path)
{
    struct statvfs status;
    if (statvfs(path, &status))
        return errno;
    unsigned long flags = MS_REMOUNT | MS_BIND | mount_flags(status.f_flag);
    if (!mount("none", path, NULL, flags, NULL))
        return 0;
    if (errno != EINVAL) /* what it says of a directory that is no mount point */
        return errno;
    if (mount(path, path, NULL, MS_BIND | MS_REC, NULL))
        return errno;
    return mount("none", path, NULL, flags, NULL) ? errno : 0;
}

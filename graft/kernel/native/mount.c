#include "mount.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#ifndef ST_NOSYMFOLLOW
#define ST_NOSYMFOLLOW 0x2000 /* Linux 5.10 */
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

int graft_unshare_mounts(void)
{
    if (unshare(CLONE_NEWNS))
        return errno;
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ? errno : 0;
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

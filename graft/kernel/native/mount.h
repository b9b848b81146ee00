/* Mounts seen by this thread alone. Knows no Python. */
#ifndef GRAFT_MOUNT_H
#define GRAFT_MOUNT_H

/* Gives the calling thread, and what it starts from now on, a mount namespace of its own, from which
 * nothing comes back into the one it was in. 0 or errno. */
int graft_unshare_mounts(void);

/* Makes a directory of a read-only mount writable in this mount namespace; the other flags of the
 * mount stay. Where the directory is no mount point it becomes one. 0 or errno. */
int graft_remount_writable(const char *path);

#endif

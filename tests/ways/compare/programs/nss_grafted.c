/* A module for glibc's name service: it knows one user. */
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <string.h>

enum nss_status _nss_grafted_getpwnam_r(const char *name, struct passwd *found, char *buffer,
                                        size_t size, int *error)
{
    if (strcmp(name, "grafted") != 0 || size < 16)
        return *error = ENOENT, NSS_STATUS_NOTFOUND;
    memcpy(buffer, "grafted\0/none", 14);
    *found = (struct passwd){buffer, buffer + 7, 4242, 4242, buffer + 7, buffer + 8, buffer + 8};
    return NSS_STATUS_SUCCESS;
}

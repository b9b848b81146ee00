/* What a package looks up at run time instead of having it built in: Nixpkgs pivots.
 *
 *     char *found = pivot_find("/nix/store/...-curl-8.5.0", "cacert");
 *     const char *bundle = found ? found : "/nix/store/...-nss-cacert-3.98/etc/ssl/certs/ca-bundle.crt";
 *
 * `out` is the package's own $out, which also has the marker $out/nix-support/pivots/<type>. The result
 * is <dir>/<base name of out>/<type> in the first directory of NIXPKGS_PIVOT_DIRS that has it, to be
 * freed; NULL where none has, or in secure execution: then behave as built. Needs Linux, C99 or C++. */
#ifndef PIVOT_H
#define PIVOT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>

static inline char *pivot_find(const char *out, const char *type)
{
    const char *slash = strrchr(out, '/'), *base = slash ? slash + 1 : out;
    const char *dir = getauxval(AT_SECURE) ? NULL : getenv("NIXPKGS_PIVOT_DIRS");

    while (dir && *dir) {
        size_t length = strcspn(dir, ":"), size = length + strlen(base) + strlen(type) + 3;
        char *found = (char *)malloc(size);
        struct stat status;

        if (!found)
            return NULL;
        snprintf(found, size, "%.*s/%s/%s", (int)length, dir, base, type);
        if (length && stat(found, &status) == 0)
            return found;
        free(found);
        dir += length + (dir[length] == ':');
    }
    return NULL;
}

#endif

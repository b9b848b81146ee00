/* A pivot-aware program: of the directories in $NIXPKGS_PIVOT_DIRS the first that holds
   <hash>-<name>/tzdata wins, else the compiled-in path. Its own store path and tzdata's are
   strings in its read-only data. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char self[] = OUT;
static const char builtin[] = TZ;

int main(void)
{
    const char *base = strrchr(self, '/') + 1;
    const char *dirs = getenv("NIXPKGS_PIVOT_DIRS");
    char *rest = dirs ? strdup(dirs) : NULL;
    char path[4096];

    for (char *dir = rest ? strtok(rest, ":") : NULL; dir; dir = strtok(NULL, ":")) {
        snprintf(path, sizeof path, "%s/%s/tzdata", dir, base);
        if (access(path, F_OK) == 0) {
            printf("pivot %s\n", path);
            return 0;
        }
    }
    printf("builtin %s\n", builtin);
    return 0;
}

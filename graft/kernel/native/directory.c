#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LISTING 32768 /* bytes of directory entries asked for at a time */

/* What getdents64 gives: include/linux/dirent.h. */
typedef struct {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
} listed;

static int by_new_name(const void *one, const void *other)
{
    return strcmp(((const entry *)one)->new_name, ((const entry *)other)->new_name);
}

static int add_entry(walk *w, directory *d, const listed *item)
{
    entry *room = grown(d->entries, &d->capacity, d->count + 1, sizeof *d->entries);
    if (!room)
        return fail_memory(w);
    d->entries = room;
    entry *e = &d->entries[d->count++];
    size_t length = strlen(item->name);
    e->type = item->type;
    e->old_at = e->new_at = d->names.length;
    if (append(w, &d->names, item->name, length + 1))
        return -1;
    if (!w->table || length < GRAFT_HASH_LENGTH)
        return 0;
    size_t copy = d->names.length;
    int changed;
    if (append(w, &d->names, item->name, length + 1) ||
        rewrite_text(w, d->names.bytes + copy, length, &changed))
        return -1;
    if (!changed) {
        d->names.length = copy;
        return 0;
    }
    e->new_at = copy;
    if (memchr(d->names.bytes + copy, '/', length) || memchr(d->names.bytes + copy, 0, length)) {
        errno = EINVAL; /* a table whose new names are no names must not lead out of the target */
        return fail_target(w, "rename");
    }
    return 0;
}

static int list(walk *w, directory *d)
{
    if (need(w, &w->listing, LISTING))
        return -1;
    for (;;) {
        long n = syscall(SYS_getdents64, d->source, w->listing, LISTING);
        if (n < 0)
            return fail_source(w, "getdents64");
        if (n == 0)
            break;
        for (long at = 0; at < n;) {
            const listed *item = (const void *)(w->listing + at);
            at += item->length;
            if (strcmp(item->name, ".") != 0 && strcmp(item->name, "..") != 0 &&
                add_entry(w, d, item))
                return -1;
        }
    }
    for (size_t i = 0; i < d->count; i++) {
        d->entries[i].old_name = d->names.bytes + d->entries[i].old_at;
        d->entries[i].new_name = d->names.bytes + d->entries[i].new_at;
    }
    if (d->count)
        qsort(d->entries, d->count, sizeof *d->entries, by_new_name);
    for (size_t i = 1; i < d->count; i++)
        if (strcmp(d->entries[i - 1].new_name, d->entries[i].new_name) == 0) {
            if (set_path(w, &w->new_path, w->new_path.length, d->entries[i].new_name))
                return -1;
            return fail(w, GRAFT_TREE_COLLISION, "", 1);
        }
    return 0;
}

int directory_open(walk *w, directory *d, const place *from, const place *to)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    d->names.length = d->count = 0;
    d->target = -1;
    d->source = openat(from->directory, from->name, flags);
    if (d->source < 0)
        return fail_source(w, "openat");
    if (to) {
        if (mkdirat(to->directory, to->name, 0755))
            return fail_target(w, "mkdirat");
        d->target = openat(to->directory, to->name, flags);
        begun(w, d->target);
        if (d->target < 0)
            return fail_target(w, "openat");
        if (w->top < 0)
            w->top = d->target;
    }
    w->report->directories++;
    return nar_directory(w) || list(w, d) ? -1 : 0;
}

int directory_finish(walk *w, directory *d)
{
    int target = d->target;
    d->target = -1;
    int result = target >= 0 ? finish(w, target, 0555) : 0;
    directory_close(d);
    return result ? -1 : nar_directory_end(w);
}

void directory_close(directory *d)
{
    if (d->source >= 0)
        (void)close(d->source);
    if (d->target >= 0)
        (void)close(d->target);
    d->source = d->target = -1;
}

void directory_free(directory *d)
{
    free(d->names.bytes);
    free(d->entries);
}

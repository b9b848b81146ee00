#include "walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Directories are held open for this many innermost levels, and for the outermost: with the
 * target's, some 32 descriptors. A level between is closed, and found again through "..". */
#define OPEN_LEVELS 15

struct level {
    directory d;
    identity source_is, target_is; /* known while closed */
    size_t next; /* entry */
    size_t old_length, new_length; /* of the paths of the directory itself */
};

static int identify(walk *w, int descriptor, identity *is, int in_target)
{
    struct stat status;
    if (fstat(descriptor, &status))
        return fail(w, GRAFT_TREE_SYSTEM, "fstat", in_target);
    *is = (identity){status.st_dev, status.st_ino};
    return 0;
}

/* Closes the outermost open level but the first, if as many as may be are open. */
static int make_room(walk *w)
{
    if (w->depth < w->outermost + OPEN_LEVELS)
        return 0;
    level *l = &w->levels[w->outermost++];
    if (identify(w, l->d.source, &l->source_is, 0) ||
        (l->d.target >= 0 && identify(w, l->d.target, &l->target_is, 1)))
        return -1;
    directory_close(&l->d);
    return 0;
}

/* Opens the directory that holds `child`, which must be the one left there. */
static int reopen(walk *w, int child, identity was, int *descriptor, int in_target)
{
    identity is;
    *descriptor = openat(child, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*descriptor < 0)
        return fail(w, GRAFT_TREE_SYSTEM, "openat", in_target);
    if (identify(w, *descriptor, &is, in_target))
        return -1;
    return same(is, was) ? 0 : fail(w, GRAFT_TREE_CHANGED, "openat", in_target);
}

static int enter(walk *w, const place *from, const place *to)
{
    if (w->depth && make_room(w))
        return -1;
    if (w->depth == w->level_capacity) {
        level *room = grown(w->levels, &w->level_capacity, w->depth + 1, sizeof *w->levels);
        if (!room)
            return fail_memory(w);
        w->levels = room;
        memset(room + w->depth, 0, (w->level_capacity - w->depth) * sizeof *room);
    }
    level *l = &w->levels[w->depth++];
    l->next = 0;
    l->old_length = w->old_path.length;
    l->new_length = w->new_path.length;
    return directory_open(w, &l->d, from, to); /* into the lists a sibling left */
}

static int leave(walk *w)
{
    level *l = &w->levels[w->depth - 1];
    w->old_path.bytes[w->old_path.length = l->old_length] = 0;
    w->new_path.bytes[w->new_path.length = l->new_length] = 0;
    if (w->depth > 1) {
        level *parent = l - 1;
        if (parent->d.source < 0) {
            if (reopen(w, l->d.source, parent->source_is, &parent->d.source, 0) ||
                (l->d.target >= 0 &&
                 reopen(w, l->d.target, parent->target_is, &parent->d.target, 1)))
                return -1;
            w->outermost = w->depth - 2;
        }
    }
    if (directory_finish(w, &l->d))
        return -1;
    w->depth--;
    return w->depth ? nar_entry_end(w) : 0;
}

static int step(walk *w)
{
    level *l = &w->levels[w->depth - 1];
    if (l->next == l->d.count)
        return leave(w);
    const entry *e = &l->d.entries[l->next++];
    size_t length = strlen(e->new_name);
    place from = {l->d.source, e->old_name}, to = {l->d.target, e->new_name};
    const place *there = l->d.target >= 0 ? &to : NULL;
    uint8_t type = e->type;
    w->found_file = NULL;
    if (worked(w, ENTRY_EFFORT) || set_path(w, &w->old_path, l->old_length, e->old_name) ||
        set_path(w, &w->new_path, l->new_length, e->new_name) ||
        nar_entry(w, e->new_name, length) ||
        search_text(w, e->new_name, length, GRAFT_IN_NAME) || know_type(w, &from, &type))
        return -1;
    if (type == DT_DIR)
        return enter(w, &from, there); /* the entry ends when it is left */
    return leaf(w, &from, there, type) ? -1 : nar_entry_end(w);
}

int levels_walk(walk *w, const place *from, const place *to)
{
    w->outermost = 1;
    int result = enter(w, from, to);
    while (!result && w->depth)
        result = step(w);
    while (w->depth)
        directory_close(&w->levels[--w->depth].d);
    return result;
}

void levels_free(walk *w)
{
    for (size_t i = 0; i < w->level_capacity; i++)
        directory_free(&w->levels[i].d);
    free(w->levels);
}

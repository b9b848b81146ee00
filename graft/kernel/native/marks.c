#include "walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int named(const graft_marks *m, const char *name)
{
    const char *slash = strrchr(name, '/'); /* only the tree's top has more than a name */
    const char *base = slash ? slash + 1 : name;
    size_t length = strlen(base);
    for (size_t i = 0; i < m->name_count; i++) {
        const graft_name_mark *n = &m->names[i];
        if ((n->whole ? length == n->length : length >= n->length) &&
            !memcmp(base + length - n->length, n->text, n->length))
            return 1;
    }
    return 0;
}

static int begins(const graft_marks *m, const uint8_t *head, size_t length)
{
    for (size_t i = 0; i < m->magic_count; i++) {
        const graft_magic *g = &m->magics[i];
        if (g->offset + g->length <= length && head[g->offset] == g->bytes[0] &&
            !memcmp(head + g->offset, g->bytes, g->length))
            return 1;
    }
    return 0;
}

static int remember(walk *w, file *f)
{
    f->reported = 1;
    graft_tree_report *r = w->report;
    char **room = grown(r->marked, &r->marked_capacity, r->marked_count + 1, sizeof *room);
    if (!room)
        return fail_memory(w);
    r->marked = room;
    char *path = strdup(w->old_path.bytes);
    if (!path)
        return fail_memory(w);
    r->marked[r->marked_count++] = path;
    return 0;
}

int mark(walk *w, file *f, const uint8_t *bytes, size_t length)
{
    const graft_marks *m = w->job->marks;
    uint8_t head[GRAFT_HEAD];
    f->marked = 1;
    if (named(m, f->from->name))
        return remember(w, f);
    if (length < m->head && length < (uint64_t)f->status.st_size) {
        ssize_t n;
        do
            n = pread(f->source, head, m->head, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return fail_source(w, "pread");
        bytes = head;
        length = (size_t)n;
    }
    return begins(m, bytes, length) ? remember(w, f) : 0;
}

int mark_changed(walk *w, file *f)
{
    return f->reported ? 0 : remember(w, f);
}

int add_marked(graft_tree_report *to, graft_tree_report *from)
{
    if (!from->marked_count)
        return 0;
    size_t count = to->marked_count + from->marked_count;
    char **room = grown(to->marked, &to->marked_capacity, count, sizeof *room);
    if (!room)
        return -1;
    to->marked = room;
    memcpy(to->marked + to->marked_count, from->marked, from->marked_count * sizeof *room);
    to->marked_count = count;
    from->marked_count = 0;
    return 0;
}

void free_marked(graft_tree_report *r)
{
    for (size_t i = 0; i < r->marked_count; i++)
        free(r->marked[i]);
    free(r->marked);
}

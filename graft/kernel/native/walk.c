#include "walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_EFFORT (16u << 20) /* bytes read, or their worth in entries, between two polls */

/* ---- errors ------------------------------------------------------------------------------- */

int fail(walk *w, enum graft_tree_error error, const char *call, int in_target)
{
    graft_tree_report *r = w->report;
    r->code = error == GRAFT_TREE_SYSTEM ? errno : 0;
    r->error = error;
    r->call = call;
    r->in_target = in_target;
    free(r->file);
    const char *path = (in_target ? &w->new_path : &w->old_path)->bytes;
    r->file = path ? strdup(path) : NULL;
    return -1;
}

int fail_source(walk *w, const char *call) { return fail(w, GRAFT_TREE_SYSTEM, call, 0); }
int fail_target(walk *w, const char *call) { return fail(w, GRAFT_TREE_SYSTEM, call, 1); }
int fail_memory(walk *w) { return fail(w, GRAFT_TREE_MEMORY, "malloc", 0); }

/* ---- memory and paths --------------------------------------------------------------------- */

void *grown(void *list, size_t *capacity, size_t count, size_t size)
{
    if (count <= *capacity)
        return list;
    size_t wider = *capacity ? *capacity : 16;
    while (wider < count) {
        if (wider > SIZE_MAX / 2 / size)
            return NULL;
        wider *= 2;
    }
    void *moved = realloc(list, wider * size);
    if (moved)
        *capacity = wider;
    return moved;
}

int append(walk *w, text *t, const char *bytes, size_t length)
{
    char *room = grown(t->bytes, &t->capacity, t->length + length + 1, 1);
    if (!room)
        return fail_memory(w);
    t->bytes = room;
    memcpy(t->bytes + t->length, bytes, length);
    t->length += length;
    t->bytes[t->length] = 0;
    return 0;
}

int set_path(walk *w, text *path, size_t length, const char *name)
{
    path->length = length;
    if (length && append(w, path, "/", 1))
        return -1;
    return append(w, path, name, strlen(name));
}

int need(walk *w, uint8_t **buffer, size_t size)
{
    if (!*buffer && !(*buffer = malloc(size)))
        return fail_memory(w);
    return 0;
}

/* ---- a thread's walk ---------------------------------------------------------------------- */

int worked(walk *w, uint64_t effort)
{
    w->effort += effort;
    if (w->effort < POLL_EFFORT)
        return 0;
    w->effort = 0;
    if (w->pool) {
        if (pool_gave_up(w))
            return -1;
        pool_grow(w);
    }
    if (!w->polls || !w->job->poll || !w->job->poll(w->job->context))
        return 0;
    return fail(w, GRAFT_TREE_STOPPED, "", 0);
}

void walk_begin(walk *w, const graft_tree_job *job, graft_tree_report *report)
{
    memset(report, 0, sizeof *report);
    *w = (walk){
        .job = job,
        .report = report,
        .table = job->table && graft_table_count(job->table) ? job->table : NULL,
        .wanted = job->wanted && graft_table_count(job->wanted) ? job->wanted : NULL,
        .top = -1,
        .link = job->links,
        .reflink = job->reflinks,
        .set_owner = job->owner != geteuid() || job->group != getegid(),
    };
}

void walk_end(walk *w)
{
    if (w->mapping)
        mapping_end(w->mapping);
    levels_free(w);
    free(w->old_path.bytes);
    free(w->new_path.bytes);
    free(w->buffer);
    free(w->batch);
    free(w->listing);
    free(w->spare);
    graft_hits_free(&w->hits);
}

#include "walk.h"

#include <stdlib.h>
#include <string.h>

int find(walk *w, const graft_table *table, const uint8_t *bytes, size_t length, int final,
         size_t *cut)
{
    w->hits.count = 0;
    *cut = graft_find(table, bytes, length, final, &w->hits);
    return *cut == (size_t)-1 ? fail_memory(w) : 0;
}

size_t count_hits(walk *w, tally *hits)
{
    size_t rewritten = 0;
    for (size_t i = 0; i < w->hits.count; i++) {
        const graft_hit *hit = &w->hits.items[i];
        if (hit->overlapped) {
            hits->overlapped++;
        } else {
            rewritten++;
            hits->bare += hit->bare;
        }
    }
    hits->references += rewritten;
    return rewritten;
}

void add_tally(walk *w, const tally *hits)
{
    w->report->references += hits->references;
    w->report->bare += hits->bare;
    w->report->overlapped += hits->overlapped;
}

int search(walk *w, const uint8_t *bytes, size_t length, int final, enum graft_where where,
           uint64_t base, size_t *cut)
{
    if (find(w, w->wanted, bytes, length, final, cut))
        return -1;
    graft_tree_report *r = w->report;
    for (size_t i = 0; i < w->hits.count; i++) {
        const graft_hit *hit = &w->hits.items[i];
        __atomic_store_n(&w->job->seen[hit->index], 1, __ATOMIC_RELAXED); /* other threads do too */
        if (!w->job->report)
            continue;
        graft_found *room =
            grown(r->found, &r->found_capacity, r->found_count + 1, sizeof *r->found);
        if (!room)
            return fail_memory(w);
        r->found = room;
        if (!w->found_file && !(w->found_file = strdup(w->new_path.bytes)))
            return fail_memory(w);
        r->found[r->found_count++] = (graft_found){
            .file = w->found_file,
            .offset = base + hit->offset,
            .index = hit->index,
            .stride = hit->stride,
            .where = (uint8_t)where,
        };
    }
    return 0;
}

int search_text(walk *w, const char *bytes, size_t length, enum graft_where where)
{
    size_t cut;
    if (suspect_text(w, bytes, length, where))
        return -1;
    if (!w->wanted || length < GRAFT_HASH_LENGTH)
        return 0;
    return search(w, (const uint8_t *)bytes, length, 1, where, 0, &cut);
}

int rewrite_text(walk *w, char *bytes, size_t length, int *changed)
{
    size_t cut;
    tally hits = {0};
    *changed = 0;
    if (!w->table || length < GRAFT_HASH_LENGTH)
        return 0;
    if (find(w, w->table, (uint8_t *)bytes, length, 1, &cut))
        return -1;
    *changed = count_hits(w, &hits) > 0;
    add_tally(w, &hits);
    graft_apply(w->table, (uint8_t *)bytes, w->hits.items, w->hits.count);
    return 0;
}

/* ---- reports of several threads ----------------------------------------------------------- */

int add_report(graft_tree_report *to, graft_tree_report *from)
{
    to->nar_size += from->nar_size;
    to->patched += from->patched;
    to->linked += from->linked;
    to->reflinked += from->reflinked;
    to->copied += from->copied;
    to->directories += from->directories;
    to->symlinks += from->symlinks;
    to->files += from->files;
    to->bytes_read += from->bytes_read;
    to->bytes_written += from->bytes_written;
    to->bytes_shared += from->bytes_shared;
    to->references += from->references;
    to->bare += from->bare;
    to->overlapped += from->overlapped;
    if (add_marked(to, from) || add_suspects(to, from))
        return -1;
    if (!from->found_count)
        return 0;
    size_t count = to->found_count + from->found_count;
    graft_found *room = grown(to->found, &to->found_capacity, count, sizeof *room);
    if (!room)
        return -1;
    to->found = room;
    memcpy(to->found + to->found_count, from->found, from->found_count * sizeof *room);
    to->found_count = count;
    from->found_count = 0;
    return 0;
}

/* A slash ends a name, and so comes before every byte a longer name may have there. */
int path_order(const char *one, const char *other)
{
    for (; *one && *one == *other; one++, other++)
        ;
    int byte = *one == '/' ? 1 : *one ? (uint8_t)*one + 1 : 0;
    int other_byte = *other == '/' ? 1 : *other ? (uint8_t)*other + 1 : 0;
    return byte - other_byte;
}

/* The hits of one file: all were found by one thread, in their order. */
typedef struct {
    const graft_found *first;
    size_t count;
} run;

static int by_path(const void *one, const void *other)
{
    return path_order(((const run *)one)->first->file, ((const run *)other)->first->file);
}

int sort_found(graft_tree_report *r)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < r->found_count; i++)
        count += i == 0 || r->found[i].file != r->found[i - 1].file;
    if (count < 2)
        return 0;
    run *runs = calloc(count, sizeof *runs);
    graft_found *sorted = malloc(r->found_count * sizeof *sorted);
    if (!runs || !sorted) {
        free(runs);
        free(sorted);
        return -1;
    }
    for (size_t i = 0; i < r->found_count; i++) {
        if (i == 0 || r->found[i].file != r->found[i - 1].file)
            runs[at++].first = &r->found[i];
        runs[at - 1].count++;
    }
    qsort(runs, count, sizeof *runs, by_path);
    at = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(sorted + at, runs[i].first, runs[i].count * sizeof *sorted);
        at += runs[i].count;
    }
    free(runs);
    free(r->found);
    r->found = sorted;
    r->found_capacity = r->found_count;
    return 0;
}

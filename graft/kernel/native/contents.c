#include "contents.h"
#include "mapping.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The buffer holds, in this order: bytes of the result that the search for `wanted` has not done
 * with; bytes in which a hit of `table` may still lie; bytes just read. By graft_find's promise the
 * first two are shorter than twice the span of their table, so memory does not depend on the file.
 * Of a mapped file only those two lie there, while one window goes and the next comes. */
int window_open(walk *w, window *v, file *f)
{
    const graft_tree_job *job = w->job;
    uint64_t size = (uint64_t)f->status.st_size;
    *v = (window){.file = f};
    if (need(w, &w->buffer, job->window + 2 * (w->table ? graft_table_span(w->table) : 0) +
                                2 * (w->wanted ? graft_table_span(w->wanted) : 0)))
        return -1;
    v->bytes = w->buffer;
    if (size && size >= (w->pool ? job->threads_map_from : job->map_from)) {
        if (!w->mapping)
            w->mapping = mapping_begin();
        v->mapping = w->mapping;
        if (v->mapping)
            mapping_renew(v->mapping);
    }
    return 0;
}

/* 1 if it did; 0 if the file is to be read from here on. */
static int map_more(walk *w, window *v)
{
    uint64_t size = (uint64_t)v->file->status.st_size;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t begin = v->base & -page;
    uint64_t room = (w->job->map_window + page - 1) & -page;
    uint64_t end = size - begin < v->got - begin + room ? size : (v->got & -page) + room;
    uint8_t *map = mapping_map(v->mapping, v->file->source, begin, (size_t)(end - begin));
    if (!map)
        return 0;
    v->mapped = 1;
    v->bytes = map + (v->base - begin);
    v->length = (size_t)(end - v->base);
    memcpy(v->bytes, w->buffer, v->changed);
    w->report->bytes_read += end - v->got;
    v->got = end;
    return 1;
}

static int read_more(walk *w, window *v, int *final)
{
    uint64_t size = (uint64_t)v->file->status.st_size;
    size_t ask = w->job->window;
    ssize_t n;
    do
        n = pread(v->file->source, v->bytes + v->length, ask, (off_t)v->got);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail_source(w, "pread");
    v->got += (uint64_t)n;
    v->length += (size_t)n;
    w->report->bytes_read += (uint64_t)n;
    if (v->got > size || (n == 0 && v->got < size))
        return fail(w, GRAFT_TREE_CHANGED, "pread", 0);
    *final = v->got == size && (size_t)n < ask; /* less than asked for: the end was seen */
    return 0;
}

int window_more(walk *w, window *v, int *final)
{
    uint64_t before = v->got, size = (uint64_t)v->file->status.st_size;
    if (v->mapping && v->got < size && map_more(w, v))
        *final = v->got == size;
    else if (read_more(w, v, final))
        return -1;
    w->effort += v->got - before;
    return 0;
}

int window_whole(walk *w, const window *v)
{
    struct stat now;
    if (!v->mapped)
        return 0;
    if (mapping_broken(v->mapping))
        return fail(w, GRAFT_TREE_CHANGED, "mmap", 0);
    if (v->got < (uint64_t)v->file->status.st_size)
        return 0;
    if (fstat(v->file->source, &now)) /* where no page was gone, bytes may be there no more */
        return fail_source(w, "fstat");
    if (now.st_size != v->file->status.st_size)
        return fail(w, GRAFT_TREE_CHANGED, "mmap", 0);
    return 0;
}

void window_drop(walk *w, window *v, size_t count, size_t changed)
{
    memmove(w->buffer, v->bytes + count, v->length - count);
    if (v->mapped)
        mapping_unmap(v->mapping);
    v->mapped = 0;
    v->bytes = w->buffer;
    v->length -= count;
    v->base += count;
    v->changed = changed;
}

void window_close(window *v)
{
    if (v->mapped)
        mapping_unmap(v->mapping);
    v->mapped = 0;
}

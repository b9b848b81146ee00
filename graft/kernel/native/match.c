#include "match.h"

#include <stdlib.h>
#include <string.h>

#include "search.h"

/* ---- the variants ---- */

static const graft_variant *const variants[] = {
#if defined(__x86_64__)
    &graft_avx2,
#elif defined(__aarch64__)
    &graft_neon,
#endif
    &graft_portable,
};
enum { VARIANTS = sizeof variants / sizeof *variants };

const char *const *graft_variants(void)
{
    /* Threads that come here at once write the same. */
    static const char *names[VARIANTS + 1];
    size_t count = 0;
    for (size_t i = 0; i < VARIANTS; i++)
        if (variants[i]->runs_here())
            names[count++] = variants[i]->name;
    return names;
}

const graft_variant *graft_variant_named(const char *name)
{
    for (size_t i = 0; i < VARIANTS; i++)
        if ((name == NULL || strcmp(variants[i]->name, name) == 0) && variants[i]->runs_here())
            return variants[i];
    return NULL;
}

/* ---- what lies in a window ---- */

/* Whether `text` stands at `at`, in an encoding of that stride. */
static int stands_at(const search *s, size_t at, unsigned stride, const uint8_t *text, size_t count)
{
    if (at > s->length || s->length - at < stride * (count - 1) + 1)
        return 0;
    const uint8_t *here = s->bytes + at;
    for (size_t i = 0; i < count; i++, here += stride) {
        if (*here != text[i])
            return 0;
        if (i + 1 < count)
            for (unsigned j = 1; j < stride; j++)
                if (here[j] != 0)
                    return 0;
    }
    return 1;
}

static graft_hit *append(graft_hits *hits)
{
    if (hits->count == hits->capacity) {
        size_t capacity = hits->capacity == 0 ? 64 : 2 * hits->capacity;
        if (capacity > SIZE_MAX / sizeof *hits->items)
            return NULL;
        graft_hit *items = realloc(hits->items, capacity * sizeof *items);
        if (items == NULL)
            return NULL;
        hits->items = items;
        hits->capacity = capacity;
    }
    return &hits->items[hits->count++];
}

static void consider(search *s, size_t offset, unsigned stride, const uint8_t *characters)
{
    const graft_table *table = s->table;
    size_t index = graft_look_up(table, characters);
    if (index == table->count)
        return;
    const entry *wanted = &table->entries[index];
    size_t count = GRAFT_HASH_LENGTH;
    int bare = 1;
    if (wanted->length > GRAFT_HASH_LENGTH) {
        /* The bytes between the hash part's last character and the dash must be NUL too: so the
         * comparison begins at that last character. */
        size_t from = GRAFT_HASH_LENGTH - 1;
        if (stands_at(s, offset + from * stride, stride, wanted->old_base + from,
                      wanted->length - from)) {
            count = wanted->length;
            bare = 0;
        }
    }
    graft_hit *hit = append(s->hits);
    if (hit == NULL) {
        s->short_of_memory = 1;
        return;
    }
    hit->offset = offset;
    hit->length = stride * (count - 1) + 1;
    hit->index = (uint32_t)index;
    hit->stride = (uint8_t)stride;
    hit->bare = (uint8_t)bare;
    hit->overlapped = offset < s->taken;
    if (!hit->overlapped) {
        s->taken = offset + hit->length;
        s->last = s->hits->count - 1;
    }
}

void graft_judge(search *s, const uint8_t *window, size_t offset, unsigned stride)
{
    uint8_t characters[GRAFT_HASH_LENGTH];
    for (size_t i = 0; i < GRAFT_HASH_LENGTH; i++)
        characters[i] = window[i * stride];
    consider(s, offset, stride, characters);
}

/* ---- the search ---- */

size_t graft_find(const graft_table *table, const uint8_t *bytes, size_t length, int final,
                  graft_hits *hits)
{
    if (table->count == 0)
        return length;
    search s = {.table = table, .bytes = bytes, .length = length, .hits = hits};
    size_t before = hits->count;
    s.limit = final ? length : length < table->span ? 0 : length - table->span + 1;
    if (length < GRAFT_HASH_LENGTH || s.limit == 0)
        return s.limit;
    table->variant->find_windows(&s);
    if (s.short_of_memory) {
        hits->count = before;
        return (size_t)-1;
    }
    if (s.taken > s.limit) {
        /* The last hit that takes bytes reaches beyond the limit: it and those it overlaps, which
         * are all that follow it, are left for the next round. */
        hits->count = s.last;
        return hits->items[s.last].offset;
    }
    return s.limit;
}

void graft_apply(const graft_table *table, uint8_t *bytes, const graft_hit *hits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const graft_hit *hit = &hits[i];
        const entry *wanted = &table->entries[hit->index];
        if (hit->overlapped || wanted->new_base == NULL)
            continue;
        size_t characters = hit->bare ? GRAFT_HASH_LENGTH : wanted->length;
        for (size_t j = 0; j < characters; j++)
            bytes[hit->offset + j * hit->stride] = wanted->new_base[j];
    }
}

void graft_hits_free(graft_hits *hits)
{
    free(hits->items);
    hits->items = NULL;
    hits->count = hits->capacity = 0;
}

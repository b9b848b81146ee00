/* Fuzz target for the matcher: graft_find and graft_apply, in every variant that runs here, against
 * the naive search in C, whole and in chunks. The input is read as a recipe, so that nearly every
 * input holds hits.
 *
 * With libFuzzer:  make fuzz
 * Without:         compiled with -DGRAFT_FUZZ_MAIN; ./a.out [inputs [seed]] makes random inputs, and
 *                  prints what it has seen; ./a.out --files FILE... takes those.
 */
#include "match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                        \
    do {                                                                          \
        if (!(condition)) {                                                       \
            fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition); \
            abort();                                                              \
        }                                                                         \
    } while (0)

static const char alphabet[] = "0123456789abcdfghijklmnpqrsvwxyz";

enum { MOST_ENTRIES = 12, LONGEST = GRAFT_HASH_LENGTH + 24, MOST_TEXT = 24000 };

/* ---- the naive search ---- */

typedef struct {
    uint8_t old_base[LONGEST], new_base[LONGEST];
    size_t length;
    int looked_for; /* only */
} wanted;

typedef struct {
    wanted entries[MOST_ENTRIES];
    size_t count;
    uint8_t *text;
    size_t length, capacity;
} recipe;

static int stands(const recipe *r, size_t at, size_t stride, const uint8_t *base, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < stride && (j == 0 || i + 1 < count); j++) {
            size_t place = at + i * stride + j;
            if (place >= r->length || r->text[place] != (j == 0 ? base[i] : 0))
                return 0;
        }
    return 1;
}

static void push(graft_hits *hits, graft_hit hit)
{
    if (hits->count == hits->capacity) {
        hits->capacity = 2 * hits->capacity + 16;
        hits->items = realloc(hits->items, hits->capacity * sizeof hit);
        REQUIRE(hits->items != NULL);
    }
    hits->items[hits->count++] = hit;
}

static void naive_find(const recipe *r, graft_hits *hits)
{
    size_t taken = 0;
    for (size_t at = 0; at < r->length; at++)
        for (size_t stride = 1; stride <= 4; stride *= 2)
            for (size_t i = 0; i < r->count; i++) {
                const wanted *e = &r->entries[i];
                if (!stands(r, at, stride, e->old_base, GRAFT_HASH_LENGTH))
                    continue;
                int bare = e->length == GRAFT_HASH_LENGTH ||
                           !stands(r, at, stride, e->old_base, e->length);
                size_t characters = bare ? GRAFT_HASH_LENGTH : e->length;
                graft_hit hit = {.offset = at,
                                 .length = stride * (characters - 1) + 1,
                                 .index = (uint32_t)i,
                                 .stride = (uint8_t)stride,
                                 .bare = (uint8_t)bare,
                                 .overlapped = at < taken};
                if (!hit.overlapped)
                    taken = at + hit.length;
                push(hits, hit);
            }
}

static void naive_apply(const recipe *r, uint8_t *bytes, const graft_hits *hits)
{
    for (size_t i = 0; i < hits->count; i++) {
        const graft_hit *hit = &hits->items[i];
        const wanted *e = &r->entries[hit->index];
        if (!hit->overlapped && !e->looked_for)
            for (size_t j = 0; j < hit->length; j += hit->stride)
                bytes[hit->offset + j] = e->new_base[j / hit->stride];
    }
}

/* ---- the recipe ---- */

typedef struct {
    const uint8_t *data;
    size_t size;
} source;

static uint8_t next(source *s)
{
    if (s->size == 0)
        return 0;
    s->size--;
    return *s->data++;
}

/* Hash parts that overlap themselves and each other: of few characters, often periodic, often
 * another one with one character changed. */
static void make_hash(source *s, uint8_t *to, const uint8_t *other)
{
    uint8_t how = next(s);
    unsigned period = how % 5 == 0 ? GRAFT_HASH_LENGTH : how % 5u;
    unsigned few = how & 0x80 ? 31 : 1;
    for (unsigned i = 0; i < GRAFT_HASH_LENGTH; i++)
        to[i] = i < period ? (uint8_t)alphabet[next(s) & few] : to[i - period];
    if (other != NULL && how & 0x40) {
        memcpy(to, other, GRAFT_HASH_LENGTH);
        to[how & 31] = (uint8_t)alphabet[next(s) & 31];
    }
}

static void make_entry(source *s, recipe *r)
{
    wanted *e = &r->entries[r->count];
    make_hash(s, e->old_base, r->count == 0 ? NULL : r->entries[r->count - 1].old_base);
    make_hash(s, e->new_base, e->old_base);
    for (size_t i = 0; i < r->count; i++)
        if (memcmp(r->entries[i].old_base, e->old_base, GRAFT_HASH_LENGTH) == 0)
            return; /* hash parts are distinct */
    uint8_t how = next(s);
    e->looked_for = how % 7 == 0;
    e->length = GRAFT_HASH_LENGTH;
    size_t name = how & 8 ? how >> 4 : 0;
    if (name > 0) {
        e->old_base[e->length] = e->new_base[e->length] = '-';
        e->length++;
        for (size_t i = 0; i < name; i++, e->length++) {
            /* Names that hold what may be the beginning of a hash part. */
            e->old_base[e->length] = (uint8_t)alphabet[how & 1 ? i : next(s) & 1];
            e->new_base[e->length] = (uint8_t)alphabet[next(s) & 31];
        }
    }
    r->count++;
}

static void put(recipe *r, uint8_t byte)
{
    if (r->length < r->capacity)
        r->text[r->length++] = byte;
}

static void put_wide(recipe *r, const uint8_t *from, size_t count, size_t stride)
{
    for (size_t i = 0; i < count; i++) {
        put(r, from[i]);
        for (size_t j = 1; j < stride; j++)
            put(r, 0);
    }
}

/* One piece of the text. Wide pieces end with their NULs or without. */
static void make_piece(source *s, recipe *r)
{
    uint8_t how = next(s), more = next(s);
    size_t stride = (size_t)1 << (more & 3) % 3;
    const wanted *e = r->count == 0 ? NULL : &r->entries[(more >> 2) % r->count];
    switch (how & 7) {
    case 0: case 1: case 2: /* a whole reference; perhaps one byte of it is wrong */
        if (e != NULL) {
            size_t begin = r->length;
            put_wide(r, e->old_base, e->length, stride);
            if (how >> 5 == 0 && r->length > begin)
                r->text[begin + next(s) % (r->length - begin)] = (uint8_t)alphabet[more & 1];
        }
        break;
    case 3: /* a part of one */
        if (e != NULL) {
            size_t from = (how >> 3) % e->length, count = next(s) % (e->length - from) + 1;
            put_wide(r, e->old_base + from, count, stride);
        }
        break;
    case 4: { /* a run of one character, sometimes long */
        size_t count = more & 0x80 ? 40u * next(s) : next(s) & 63;
        uint8_t character = (uint8_t)alphabet[how >> 7];
        for (size_t i = 0; i < count; i++)
            put_wide(r, &character, 1, stride);
        break;
    }
    case 5: /* random characters */
        for (size_t i = 0; i < more; i++) {
            uint8_t character = (uint8_t)alphabet[next(s) & 31];
            put_wide(r, &character, 1, (size_t)1 << (how >> 3) % 3);
        }
        break;
    case 6: /* any bytes */
        for (size_t i = 0; i < how >> 4; i++)
            put(r, next(s));
        break;
    default: /* take some back: a piece without its last NULs, cut or joined to the next */
        r->length -= r->length < how >> 5 ? r->length : how >> 5;
    }
}

/* ---- the comparison ---- */

static struct {
    unsigned long inputs, hits, bare, overlapped, wide, held_back;
} seen;

static void require_equal(const graft_hits *got, const graft_hits *expected)
{
    REQUIRE(got->count == expected->count);
    for (size_t i = 0; i < got->count; i++) {
        const graft_hit *a = &got->items[i], *b = &expected->items[i];
        REQUIRE(a->offset == b->offset && a->length == b->length && a->index == b->index);
        REQUIRE(a->stride == b->stride && a->bare == b->bare && a->overlapped == b->overlapped);
        seen.hits++;
        seen.bare += a->bare;
        seen.overlapped += a->overlapped;
        seen.wide += a->stride > 1;
    }
}

/* A copy that ends where its buffer does, so that a sanitizer sees a read beyond it, and begins
 * `shift` bytes after a boundary of 16. */
typedef struct {
    uint8_t *buffer, *bytes;
} copy;

static copy exactly(const uint8_t *bytes, size_t length, size_t shift)
{
    uint8_t *buffer = malloc(shift + length + (shift + length == 0));
    REQUIRE(buffer != NULL);
    if (length > 0)
        memcpy(buffer + shift, bytes, length);
    return (copy){buffer, buffer + shift};
}

/* The cut, as the specification has it, of the part [begin, end) of a text with these hits, of which
 * the first `done` begin before. */
static size_t naive_cut(const graft_hits *hits, size_t done, size_t begin, size_t end, size_t span)
{
    if (span == 0)
        return end;
    if (end - begin < span)
        return begin;
    size_t limit = end - span + 1;
    for (size_t i = done; i < hits->count && hits->items[i].offset < limit; i++) {
        const graft_hit *hit = &hits->items[i];
        if (!hit->overlapped && hit->offset + hit->length > limit)
            return hit->offset;
    }
    return limit;
}

static void compare_whole(const recipe *r, const graft_table *table, const graft_hits *expected,
                          const uint8_t *result, size_t shift)
{
    copy text = exactly(r->text, r->length, shift);
    graft_hits hits = {0};
    REQUIRE(graft_find(table, text.bytes, r->length, 1, &hits) == r->length);
    require_equal(&hits, expected);
    graft_apply(table, text.bytes, hits.items, hits.count);
    REQUIRE(memcmp(text.bytes, result, r->length) == 0);
    graft_hits_free(&hits);
    free(text.buffer);
}

static void compare_chunked(const recipe *r, const graft_table *table, const graft_hits *expected,
                            const uint8_t *result, size_t shift, size_t chunk)
{
    graft_hits hits = {0};
    size_t begin = 0, end = 0, span = graft_table_span(table);
    int final = 0;
    while (!final) {
        end = chunk < r->length - end ? end + chunk : r->length;
        final = end == r->length;
        copy piece = exactly(r->text + begin, end - begin, shift);
        uint8_t *bytes = piece.bytes;
        size_t before = hits.count;
        size_t cut = graft_find(table, bytes, end - begin, final, &hits);
        REQUIRE(begin + cut == (final ? end : naive_cut(expected, before, begin, end, span)));
        REQUIRE(final || span == 0 || end - begin - cut < 2 * span);
        if (hits.count > before)
            graft_apply(table, bytes, hits.items + before, hits.count - before);
        REQUIRE(memcmp(bytes, result + begin, cut) == 0);
        REQUIRE(memcmp(bytes + cut, r->text + begin + cut, end - begin - cut) == 0);
        for (size_t i = before; i < hits.count; i++) {
            REQUIRE(hits.items[i].offset < cut);
            hits.items[i].offset += begin;
        }
        seen.held_back += !final && end - begin - cut >= span;
        begin += cut;
        free(piece.buffer);
    }
    require_equal(&hits, expected);
    graft_hits_free(&hits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    source s = {data, size};
    recipe r = {.capacity = MOST_TEXT};
    r.text = calloc(1, MOST_TEXT);
    REQUIRE(r.text != NULL);
    for (unsigned i = next(&s) % (MOST_ENTRIES + 1); i > 0; i--)
        make_entry(&s, &r);
    size_t chunk = next(&s) * (next(&s) % 16 + 1u) + 1;
    uint8_t ending = next(&s);
    while (s.size > 0 && r.length < r.capacity)
        make_piece(&s, &r);

    graft_entry entries[MOST_ENTRIES];
    for (size_t i = 0; i < r.count; i++) {
        const wanted *e = &r.entries[i];
        entries[i] = (graft_entry){e->old_base, e->looked_for ? NULL : e->new_base, e->length};
    }
    graft_hits expected = {0};
    naive_find(&r, &expected);
    if (expected.count > 0 && ending & 1) {
        /* The text ends where its last hit does, or a little before. */
        const graft_hit *last = &expected.items[expected.count - 1];
        r.length = last->offset + last->length - (ending >> 1) % 4;
        expected.count = 0;
        naive_find(&r, &expected);
    }
    copy result = exactly(r.text, r.length, 0);
    naive_apply(&r, result.bytes, &expected);
    size_t shift = ending >> 3;
    for (const char *const *variant = graft_variants(); *variant != NULL; variant++) {
        graft_table *table = graft_table_new(entries, r.count, *variant);
        REQUIRE(table != NULL && graft_table_count(table) == r.count);
        compare_whole(&r, table, &expected, result.bytes, shift);
        compare_chunked(&r, table, &expected, result.bytes, shift, chunk);
        graft_table_free(table);
    }
    seen.inputs++;

    free(result.buffer);
    graft_hits_free(&expected);
    free(r.text);
    return 0;
}

#ifdef GRAFT_FUZZ_MAIN
static uint8_t data[4096];

static void take_files(char **names)
{
    for (; *names != NULL; names++) {
        FILE *file = fopen(*names, "rb");
        REQUIRE(file != NULL);
        size_t size = fread(data, 1, sizeof data, file);
        REQUIRE(fclose(file) == 0);
        LLVMFuzzerTestOneInput(data, size);
    }
}

static void make_inputs(unsigned long inputs, uint64_t state)
{
    for (unsigned long i = 0; i < inputs; i++) {
        for (size_t j = 0; j < sizeof data; j++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            data[j] = (uint8_t)(state >> 56);
        }
        /* Most recipes short: many small texts find more than a few long ones. */
        LLVMFuzzerTestOneInput(data, i % 8 == 0 ? sizeof data / 2 : 64 + i % 256);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--files") == 0)
        take_files(argv + 2);
    else
        make_inputs(argc > 1 ? strtoul(argv[1], NULL, 10) : 1000,
                    argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
    for (const char *const *variant = graft_variants(); *variant != NULL; variant++)
        printf("variant: %s\n", *variant);
    printf("inputs %lu hits %lu bare %lu overlapped %lu wide %lu held-back %lu\n", seen.inputs,
           seen.hits, seen.bare, seen.overlapped, seen.wide, seen.held_back);
    return 0;
}
#endif

/* The matcher, in two halves: `skip` jumps to the few places where a hash part could lie, and
 * knows nothing of the table; `decide` says what lies there. Only skip is worth a SIMD variant.
 *
 * Words. A *character* is a byte of the alphabet. A *run* of stride s (1, 2 or 4) is a maximal
 * sequence of characters at distance s whose s - 1 bytes between are NUL. A hit is a window of 32
 * characters in a run.
 *
 * Two runs have at most one byte in common, the last character of the one and the first of the
 * other: the byte after a character that is not the last of its run tells the stride (a character:
 * 1; a NUL: 2 or 4, by the byte after that), and what lies between is NUL, thus in no other run's
 * characters. So runs are ordered, and going from run to run finds the hits in ascending order.
 */
#include "match.h"

#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define NEVER_INLINE __attribute__((noinline))
#else
#define NEVER_INLINE
#endif

/* The alphabet lacks e, o, t and u. */
static const uint8_t is_character[256] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
    ['8'] = 1, ['9'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['f'] = 1, ['g'] = 1,
    ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['p'] = 1,
    ['q'] = 1, ['r'] = 1, ['s'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

/* 1 if `byte` is no character, else 0: is_character by arithmetic. */
static inline uint8_t is_other(uint8_t byte)
{
    uint8_t digit = (uint8_t)(byte - '0') < 10;
    uint8_t letter = (uint8_t)(byte - 'a') < 26;
    uint8_t missing = (byte == 'e') | (byte == 'o') | ((byte & 0xFE) == 't'); /* or 'u' */
    return (uint8_t)(((digit | letter) ^ 1) | missing);
}

/* ---- the table ---- */

typedef struct {
    const uint8_t *old_base, *new_base; /* into the table's `text` */
    size_t length;
} entry;

typedef struct {
    uint32_t tag;   /* of the hash of the hash part: spares most comparisons a cache miss */
    uint32_t index; /* of the entry, plus one; 0: free */
} slot;

struct graft_table {
    size_t count, span;
    entry *entries;
    uint8_t *text;
    uint8_t *filter;
    unsigned filter_shift; /* 64 - log2(bytes of the filter) */
    slot *slots;           /* open addressing, linear probing, at most half full */
    size_t slot_mask;
};

static uint64_t load64(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* The filter judges GROUP windows at once. Windows i to i + 7 all hold the 16 characters from i + 7
 * on: the last as its characters 0 to 15, the first as its characters 7 to 22. So for every entry
 * and every t below 8 the filter has bit t set in two bytes: those that characters t to t + 7 and
 * t + 8 to t + 15 select. The two bytes that the text's 16 characters select, ANDed, then tell
 * which windows to look at: few by chance, for both would have to err. */
enum { GROUP = 8 };

/* The high bits of a product depend on every bit of the factor. */
static inline size_t first_byte(const uint8_t *characters, unsigned shift)
{
    return (size_t)(load64(characters) * UINT64_C(0x9E3779B97F4A7C15) >> shift);
}

static inline size_t second_byte(const uint8_t *characters, unsigned shift)
{
    return (size_t)(load64(characters + 8) * UINT64_C(0xC2B2AE3D27D4EB4F) >> shift);
}

/* Of all 32 characters: store paths may well agree in their first 8. */
static uint64_t hash_of(const uint8_t *characters)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < GRAFT_HASH_LENGTH; i += 8) {
        hash = (hash ^ load64(characters + i)) * UINT64_C(0xD6E8FEB86659FD93);
        hash ^= hash >> 32;
    }
    return hash;
}

/* The entry of these 32 characters, or table->count. */
static size_t look_up(const graft_table *table, const uint8_t *characters)
{
    uint64_t hash = hash_of(characters);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (size_t at = (size_t)hash & table->slot_mask;; at = (at + 1) & table->slot_mask) {
        const slot *here = &table->slots[at];
        if (here->index == 0)
            return table->count;
        size_t index = here->index - 1;
        if (here->tag == tag &&
            memcmp(table->entries[index].old_base, characters, GRAFT_HASH_LENGTH) == 0)
            return index;
    }
}

static void enter(graft_table *table, size_t index)
{
    const uint8_t *characters = table->entries[index].old_base;
    for (unsigned t = 0; t < GROUP; t++) {
        table->filter[first_byte(characters + t, table->filter_shift)] |= (uint8_t)(1u << t);
        table->filter[second_byte(characters + t, table->filter_shift)] |= (uint8_t)(1u << t);
    }
    uint64_t hash = hash_of(characters);
    size_t at = (size_t)hash & table->slot_mask;
    while (table->slots[at].index != 0)
        at = (at + 1) & table->slot_mask;
    table->slots[at].tag = (uint32_t)(hash >> 32);
    table->slots[at].index = (uint32_t)index + 1;
}

graft_table *graft_table_new(const graft_entry *entries, size_t count)
{
    if (count > UINT32_MAX / 64)
        return NULL; /* hits number entries with 32 bits; the filter has up to 64 bytes for each */
    size_t text_length = 0, longest = 0, slots = 4;
    for (size_t i = 0; i < count; i++) {
        text_length += 2 * entries[i].length;
        if (entries[i].length > longest)
            longest = entries[i].length;
    }
    while (slots < 2 * count)
        slots *= 2;
    unsigned filter_log = 12; /* few entries pay no more than the cache has to spare */
    while (UINT64_C(1) << filter_log < 32 * (uint64_t)count)
        filter_log++; /* at most 2 bits of 32 are set; of windows that are no hit 1 in 256 passes */

    graft_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    table->count = count;
    table->span = count == 0 ? 0 : 4 * longest - 3;
    table->entries = calloc(count + 1, sizeof *table->entries);
    table->text = malloc(text_length + 1);
    table->filter = calloc((size_t)1 << filter_log, sizeof *table->filter);
    table->filter_shift = 64 - filter_log;
    table->slots = calloc(slots, sizeof *table->slots);
    table->slot_mask = slots - 1;
    if (table->entries == NULL || table->text == NULL || table->filter == NULL ||
        table->slots == NULL) {
        graft_table_free(table);
        return NULL;
    }
    uint8_t *text = table->text;
    for (size_t i = 0; i < count; i++) {
        entry *to = &table->entries[i];
        to->length = entries[i].length;
        to->old_base = memcpy(text, entries[i].old_base, to->length);
        text += to->length;
        if (entries[i].new_base != NULL) {
            to->new_base = memcpy(text, entries[i].new_base, to->length);
            text += to->length;
        }
        enter(table, i);
    }
    return table;
}

void graft_table_free(graft_table *table)
{
    if (table == NULL)
        return;
    free(table->entries);
    free(table->text);
    free(table->filter);
    free(table->slots);
    free(table);
}

size_t graft_table_count(const graft_table *table)
{
    return table->count;
}

size_t graft_table_span(const graft_table *table)
{
    return table->span;
}

/* ---- skip: from one probe to the next ---- */

/* A probe looks at the 8 bytes from p on. A run of 32 characters from o on covers 32 bytes at
 * least, so it covers a probe wholly if o <= p <= o + 24: probes 24 bytes apart miss no run. */
enum { PROBE = 8, STEP = 24 };

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define PAIRS UINT64_C(0x00FF00FF00FF00FF)   /* every other byte */
#define QUARTERS UINT64_C(0x000000FF000000FF) /* every fourth byte */

/* Zero exactly if every byte of `word` under `mask` (whole bytes) is one of 0x30..0x3F and
 * 0x60..0x7F: that is, bit 7 clear, bit 5 set, bit 4 or 6 set. All characters are, and little else
 * that is frequent. No carries: the shift brings bit 4 to bit 6 of the same byte. */
static inline uint64_t unlikely_bytes(uint64_t word, uint64_t mask)
{
    return (((word ^ EACH(0x20)) & EACH(0xA0)) | (~(word | word << 2) & EACH(0x40))) & mask;
}

/* The stride of the run that may cover the probe, 0 if none does. Byte order does not matter: a
 * pattern read backwards is a pattern of the same stride. */
static unsigned probe_wide(uint64_t word)
{
    uint64_t pairs = word & PAIRS ? word & ~PAIRS ? 0 : word : word >> 8;
    if (pairs == 0)
        return 0;
    if (unlikely_bytes(pairs, PAIRS) == 0)
        return 2;
    uint64_t quarters = pairs & QUARTERS ? pairs & ~QUARTERS ? 0 : pairs : pairs >> 16;
    return quarters != 0 && unlikely_bytes(quarters, QUARTERS) == 0 ? 4 : 0;
}

/* The first probe in p, p + STEP, ... before `stop` that a run may cover, and its stride; `stop` or
 * more if there is none. Reads bytes[p..stop + PROBE - 1). */
static size_t skip(const uint8_t *bytes, size_t p, size_t stop, unsigned *stride)
{
    for (; p < stop; p += STEP) {
        uint64_t word = load64(bytes + p);
        if (unlikely_bytes(word, ~UINT64_C(0)) == 0) {
            *stride = 1;
            return p;
        }
        if ((word & PAIRS) == 0 || (word & ~PAIRS) == 0) {
            *stride = probe_wide(word);
            if (*stride != 0)
                return p;
        }
    }
    return p;
}

const char *graft_variant(void)
{
    return "portable";
}

/* ---- decide: what lies in a run ---- */

typedef struct {
    const graft_table *table;
    const uint8_t *bytes;
    size_t length;
    size_t limit;    /* windows that begin here or later are left for the next round */
    graft_hits *hits;
    size_t taken;    /* end of the bytes taken so far */
    size_t last;     /* the hit that took them: index in hits, if taken > 0 */
    int short_of_memory;
} search;

/* Whether the `stride` - 1 bytes after `at` are NUL and then a character follows. */
static inline int goes_on(const search *s, size_t at, unsigned stride)
{
    if (s->length - at <= stride)
        return 0;
    for (unsigned i = 1; i < stride; i++)
        if (s->bytes[at + i] != 0)
            return 0;
    return is_character[s->bytes[at + stride]];
}

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

/* A window has passed the filter: is it a hit? */
static void consider(search *s, size_t offset, unsigned stride, const uint8_t *characters)
{
    const graft_table *table = s->table;
    size_t index = look_up(table, characters);
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

/* `possible`: the filter's byte for the first of a group's windows. Kept out of slide's loop, whose
 * registers it would take. */
static NEVER_INLINE void consider_group(search *s, size_t offset, unsigned stride,
                                        const uint8_t *characters, size_t windows,
                                        unsigned possible)
{
    for (size_t j = 0; j < GROUP && j < windows; j++)
        if (possible >> (GROUP - 1 - j) & 1)
            consider(s, offset + j * stride, stride, characters + j);
}

static void slide(search *s, size_t offset, unsigned stride, const uint8_t *characters,
                  size_t windows)
{
    const uint8_t *filter = s->table->filter;
    const unsigned shift = s->table->filter_shift;
    for (size_t i = 0; i < windows; i += GROUP) {
        const uint8_t *common = characters + i + GROUP - 1;
        unsigned possible = filter[first_byte(common, shift)] & filter[second_byte(common, shift)];
        if (possible != 0)
            consider_group(s, offset + i * stride, stride, characters + i, windows - i, possible);
    }
}

/* Windows looked at in one go: runs may be as long as the file, and are read while in the cache. */
enum { BLOCK = 4096, OVERLAP = GRAFT_HASH_LENGTH - 1, MOST = BLOCK + OVERLAP };

/* The characters of the run of stride 1 from `at` on, MOST at most. */
static size_t plain_run(const search *s, size_t at)
{
    const uint8_t *here = s->bytes + at;
    size_t most = s->length - at < MOST ? s->length - at : MOST, count = 0;
    /* 32 at a time without a branch: compilers make SIMD of this, as they do not of a table. */
    for (; count + 32 <= most; count += 32) {
        uint8_t other = 0;
        for (size_t i = 0; i < 32; i++)
            other |= is_other(here[count + i]);
        if (other)
            break;
    }
    while (count < most && is_character[here[count]])
        count++;
    return count;
}

/* The characters of the run of stride 2 or 4 from `at` on, MOST at most, gathered. */
static size_t wide_run(const search *s, size_t at, unsigned stride, uint8_t *gathered)
{
    size_t count = 1;
    gathered[0] = s->bytes[at];
    while (count < MOST && goes_on(s, at, stride))
        gathered[count++] = s->bytes[at += stride];
    return count;
}

/* Finds the hits in the run around the probe at p. Returns a place before which no other run begins
 * that is not done, p or later: the run's last character, which may be the first of another. */
static size_t decide(search *s, size_t p, unsigned stride)
{
    const uint8_t *bytes = s->bytes;
    uint8_t gathered[MOST];
    size_t at = p;
    if (stride > 1)
        while (bytes[at] == 0)
            at++; /* at most stride - 1 times: skip has seen a byte that is not NUL */
    if (!is_character[bytes[at]])
        return p; /* the probe's other bytes are in no run that begins before p */
    /* Less than two STEPs back, for else the probe before p would have found this run. */
    if (stride == 1)
        while (at > 0 && is_character[bytes[at - 1]])
            at--;
    else
        while (at >= stride && is_character[bytes[at - stride]] && goes_on(s, at - stride, stride))
            at -= stride;

    for (;;) { /* `at` is a character of the run; windows before it are done */
        size_t count = stride == 1 ? plain_run(s, at) : wide_run(s, at, stride, gathered);
        if (count > OVERLAP) {
            size_t windows = count - OVERLAP;
            size_t wanted = s->limit > at ? (s->limit - at - 1) / stride + 1 : 0;
            if (windows > wanted)
                windows = wanted;
            slide(s, at, stride, stride == 1 ? bytes + at : gathered, windows);
        }
        if (count < MOST || at >= s->limit || s->short_of_memory)
            return at + (count - 1) * stride;
        at += (size_t)BLOCK * stride;
    }
}

size_t graft_find(const graft_table *table, const uint8_t *bytes, size_t length, int final,
                  graft_hits *hits)
{
    if (table->count == 0)
        return length;
    search s = {.table = table, .bytes = bytes, .length = length, .hits = hits};
    size_t before = hits->count;
    s.limit = final ? length : length < table->span ? 0 : length - table->span + 1;
    if (length < PROBE || s.limit == 0)
        return s.limit;

    /* A run that begins before the limit covers a probe at limit + STEP - 1 or before. */
    size_t stop = length - PROBE + 1;
    if (stop > s.limit && stop - s.limit > STEP)
        stop = s.limit + STEP;
    unsigned stride = 0;
    /* Once all runs that begin before some place are done, the next covers the probe STEP bytes
     * after that place or a later one. */
    for (size_t p = STEP; (p = skip(bytes, p, stop, &stride)) < stop;) {
        p = decide(&s, p, stride) + STEP;
        if (s.short_of_memory) {
            hits->count = before;
            return (size_t)-1;
        }
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

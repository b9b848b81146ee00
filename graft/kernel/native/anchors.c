/* A map of bits that fits a cache says of nearly every word that it is none of those wanted; a hash
 * table says which it is. The time does not depend on how many are wanted until the map outgrows
 * the cache. */
#include "anchors.h"

#include <stdlib.h>
#include <string.h>

enum { BITS_PER_WORD = 32, LEAST_BITS = 15 };

struct graft_anchors {
    size_t count;
    unsigned map_shift, slot_shift; /* 64 less the bits of an index into them */
    uint64_t floor; /* in each byte: the least byte of all words, if these are ASCII; else 0 */
    uint8_t by_half[2][16]; /* for each lower and each upper half of a byte: the upper halves, as bits,
                             * with which it is a byte of a word, if the floor is not 0 */
    uint64_t *map;
    uint64_t *keys;
    uint32_t *indices; /* one more than the word's; 0 is an empty slot */
};

static uint64_t mixed(uint64_t word)
{
    return word * 0x9E3779B97F4A7C15u;
}

static const uint64_t ONES = 0x0101010101010101u, HIGHS = 0x8080808080808080u;

/* The high bit of each byte of a word that is less than the floor's, or no ASCII: most of what is no
 * text is told apart here, before the map is looked at. No byte borrows from the next. */
static uint64_t foreign_bytes(uint64_t word, uint64_t floor)
{
    return (~((word | HIGHS) - floor) | word) & HIGHS;
}

/* The index of the last such byte in memory. */
static size_t last_foreign(uint64_t foreign)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (size_t)(7 - __builtin_ctzll(foreign) / 8);
#else
    return (size_t)(7 - __builtin_clzll(foreign) / 8);
#endif
}

static uint64_t word_at(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static unsigned bits_for(size_t many)
{
    unsigned bits = LEAST_BITS;
    while (((size_t)1 << bits) < many)
        bits++;
    return bits;
}

/* The two bits of a word within its place in the map: from the middle of its mixture, where the bits
 * are well mixed and do not choose the place. */
static uint64_t two_bits(uint64_t mixture)
{
    return (uint64_t)1 << (mixture >> 28 & 63) | (uint64_t)1 << (mixture >> 34 & 63);
}

static size_t slot_of(const graft_anchors *a, uint64_t mixture)
{
    return (size_t)(mixture >> a->slot_shift);
}

static size_t next_slot(const graft_anchors *a, size_t slot)
{
    return (slot + 1) & (((size_t)1 << (64 - a->slot_shift)) - 1);
}

graft_anchors *graft_anchors_new(const uint8_t *words, size_t count)
{
    if (count >= UINT32_MAX)
        return NULL;
    graft_anchors *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    unsigned map_bits = bits_for(count * BITS_PER_WORD), slot_bits = bits_for(count * 2);
    a->count = count;
    a->map_shift = 64 - (map_bits - 6);
    a->slot_shift = 64 - slot_bits;
    a->map = calloc((size_t)1 << (map_bits - 6), sizeof *a->map);
    a->keys = calloc((size_t)1 << slot_bits, sizeof *a->keys);
    a->indices = calloc((size_t)1 << slot_bits, sizeof *a->indices);
    if (a->map == NULL || a->keys == NULL || a->indices == NULL) {
        graft_anchors_free(a);
        return NULL;
    }
    uint8_t least = 0x7F, all = 0;
    for (size_t i = 0; i < count * GRAFT_ANCHOR; i++) {
        least = words[i] < least ? words[i] : least;
        all |= words[i];
    }
    a->floor = all < 0x80 ? ONES * least : 0;
    for (size_t i = 0; a->floor && i < count * GRAFT_ANCHOR; i++) {
        a->by_half[0][words[i] & 15] |= (uint8_t)(1u << (words[i] >> 4));
        a->by_half[1][words[i] >> 4] |= (uint8_t)(1u << (words[i] >> 4));
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t word = word_at(words + i * GRAFT_ANCHOR), mixture = mixed(word);
        size_t slot = slot_of(a, mixture);
        while (a->indices[slot])
            slot = next_slot(a, slot);
        a->keys[slot] = word;
        a->indices[slot] = (uint32_t)i + 1;
        a->map[mixture >> a->map_shift] |= two_bits(mixture);
    }
    return a;
}

void graft_anchors_free(graft_anchors *a)
{
    if (a == NULL)
        return;
    free(a->map);
    free(a->keys);
    free(a->indices);
    free(a);
}

size_t graft_anchors_count(const graft_anchors *a)
{
    return a->count;
}

static int add(graft_anchor_hits *hits, size_t offset, uint32_t index)
{
    if (hits->count == hits->room) {
        size_t room = hits->room ? 2 * hits->room : 16;
        graft_anchor_hit *items = realloc(hits->items, room * sizeof *items);
        if (items == NULL)
            return -1;
        hits->items = items;
        hits->room = room;
    }
    hits->items[hits->count++] = (graft_anchor_hit){offset, index};
    return 0;
}

/* Whether a word stands here. */
static inline int stands(const graft_anchors *a, uint64_t word, uint64_t *mixture)
{
    *mixture = mixed(word);
    uint64_t bits = two_bits(*mixture);
    if ((a->map[*mixture >> a->map_shift] & bits) != bits)
        return 0;
    for (size_t slot = slot_of(a, *mixture); a->indices[slot]; slot = next_slot(a, slot))
        if (a->keys[slot] == word)
            return 1;
    return 0;
}

#if defined(__x86_64__)
#include <immintrin.h>

enum { BLOCK = 64 };

/* Those of 32 bytes that are in words. */
__attribute__((target("avx2"))) static inline uint64_t in_words(__m256i low, __m256i high,
                                                                const uint8_t *bytes)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)bytes);
    __m256i upper = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
    __m256i is = _mm256_and_si256(_mm256_shuffle_epi8(low, v), _mm256_shuffle_epi8(high, upper));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(is, _mm256_setzero_si256()));
}

/* As next_word, at every place and of ASCII, as long as whole blocks follow; else a place before
 * which there is none, with which *found is 0. Eight bytes in a row are seldom all in words. */
__attribute__((target("avx2"))) static size_t next_in_blocks(const graft_anchors *a,
                                                             const uint8_t *bytes, size_t offset,
                                                             size_t last, uint64_t *mixture, int *found)
{
    const __m128i *tables = (const __m128i *)(const void *)a->by_half;
    const __m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128(tables));
    const __m256i high = _mm256_broadcastsi128_si256(_mm_loadu_si128(tables + 1));
    *found = 1;
    for (; offset + BLOCK <= last + 1; offset += BLOCK) {
        uint64_t is = in_words(low, high, bytes + offset) | in_words(low, high, bytes + offset + 32) << 32;
        for (unsigned step = 1; step < GRAFT_ANCHOR; step *= 2)
            is &= is >> step | ~(UINT64_MAX >> step); /* those of the next block may be */
        for (; is; is &= is - 1) {
            size_t here = offset + (size_t)__builtin_ctzll(is);
            if (stands(a, word_at(bytes + here), mixture))
                return here;
        }
    }
    *found = 0;
    return offset;
}
#endif

/* The first place from `offset` on, at a step, where a word stands; beyond `last` if there is none.
 * Of what cannot be a word, no place is looked at before its last byte that is in none. */
static inline size_t next_word(const graft_anchors *a, const uint8_t *bytes, size_t offset,
                               size_t last, size_t step, uint64_t *mixture)
{
    const uint64_t floor = a->floor;
#if defined(__x86_64__)
    if (floor && step == 1 && __builtin_cpu_supports("avx2")) {
        int found;
        offset = next_in_blocks(a, bytes, offset, last, mixture, &found);
        if (found)
            return offset;
    }
#endif
    for (; offset <= last; offset += step) {
        uint64_t word = word_at(bytes + offset);
        uint64_t foreign = floor ? foreign_bytes(word, floor) : 0;
        if (foreign) {
            if (step == 1)
                offset += last_foreign(foreign);
            continue;
        }
        if (stands(a, word, mixture))
            return offset;
    }
    return offset;
}

int graft_anchors_stand(const graft_anchors *a, const uint8_t *bytes, size_t length, size_t step)
{
    uint64_t mixture;
    if (a->count == 0 || length < GRAFT_ANCHOR)
        return 0;
    size_t last = length - GRAFT_ANCHOR;
    return next_word(a, bytes, 0, last, step, &mixture) <= last;
}

int graft_anchors_find(const graft_anchors *a, const uint8_t *bytes, size_t length, size_t step,
                       graft_anchor_hits *hits)
{
    uint64_t mixture;
    if (a->count == 0 || length < GRAFT_ANCHOR)
        return 0;
    const size_t last = length - GRAFT_ANCHOR;
    for (size_t offset = 0;; offset += step) {
        offset = next_word(a, bytes, offset, last, step, &mixture);
        if (offset > last)
            return 0;
        uint64_t word = word_at(bytes + offset);
        for (size_t slot = slot_of(a, mixture); a->indices[slot]; slot = next_slot(a, slot))
            if (a->keys[slot] == word && add(hits, offset, a->indices[slot] - 1))
                return -1;
    }
}

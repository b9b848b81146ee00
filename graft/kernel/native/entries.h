/* The entries of a table, and the two questions the matcher puts to them: could one of these 16
 * windows be wanted, and is this one. Knows bytes only.
 */
#ifndef GRAFT_ENTRIES_H
#define GRAFT_ENTRIES_H

#include <string.h>

#include "match.h"

typedef struct {
    const uint8_t *old_base, *new_base; /* into the table's `text` */
    size_t length;
} entry;

typedef struct {
    uint32_t tag;   /* of the hash of the hash part: spares most comparisons a cache miss */
    uint32_t index; /* of the entry, plus one; 0: free */
} slot;

/* Consecutive windows of a run are judged together. Windows i to i + 15 all hold the 16 characters
 * from i + 15 on: the last as its characters 0 to 15, the first as its characters 15 to 30. */
enum { GROUP = 16 };

/* A line of the cache. The 16 characters choose a line and three cells in it; for every entry and
 * every j below 16, bit j is set in the three cells that the entry's 16 characters from 15 - j on
 * choose. The three cells that the text's 16 characters choose, ANDed, then tell which windows to
 * look at, and cost one miss of the cache. */
enum { CELLS = 32 };
typedef struct {
    uint16_t cells[CELLS];
} line;

struct graft_table {
    size_t count, span;
    entry *entries;
    uint8_t *text;
    line *filter;
    unsigned filter_shift; /* 64 - log2(lines of the filter) */
    int far;               /* the filter is too large for the inner caches */
    slot *slots;           /* open addressing, linear probing, at most half full */
    size_t slot_mask;
    const struct graft_variant *variant;
};

static inline uint64_t load64(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* The high bits depend on every bit of the 16 characters. */
static inline uint64_t hash_of_sixteen(const uint8_t *characters)
{
    return load64(characters) * UINT64_C(0x9E3779B97F4A7C15) +
           load64(characters + 8) * UINT64_C(0xC2B2AE3D27D4EB4F);
}

/* The cells are chosen by bits below those that choose the line: at most 2^26 lines are. */
static inline unsigned cell(uint64_t hash, unsigned which)
{
    return (unsigned)(hash >> (23 + 5 * which)) % CELLS;
}

/* Brings the line that `possible` will want into the cache. */
static inline void foresee(const graft_table *table, const uint8_t *common)
{
    __builtin_prefetch(&table->filter[hash_of_sixteen(common) >> table->filter_shift]);
}

/* Of the 16 windows whose common characters these are, those that may be wanted: bit j for the
 * window that begins 15 - j before them. */
static inline unsigned possible(const graft_table *table, const uint8_t *common)
{
    uint64_t hash = hash_of_sixteen(common);
    const uint16_t *cells = table->filter[hash >> table->filter_shift].cells;
    return (unsigned)cells[cell(hash, 0)] & cells[cell(hash, 1)] & cells[cell(hash, 2)];
}

/* The index of the entry of these 32 characters, or table->count. */
size_t graft_look_up(const graft_table *table, const uint8_t *characters);

#endif

/* The matcher: finds the hash parts of store paths in bytes, in ASCII, UTF-16 and UTF-32.
 *
 * It knows bytes only: no Python, no files, no store. Its specification is
 * graft/kernel/reference.py; every variant of it must be bit-identical to that.
 */
#ifndef GRAFT_MATCH_H
#define GRAFT_MATCH_H

#include <stddef.h>
#include <stdint.h>

#define GRAFT_HASH_LENGTH 32 /* characters of a hash part, as Nix prints it */

/* One wanted reference: `hash` or `hash-name`, and what stands in its place. */
typedef struct {
    const uint8_t *old_base; /* 32 characters, or 32, a dash and a name */
    const uint8_t *new_base; /* as long as old_base; NULL: the entry is only looked for */
    size_t length;           /* bytes of old_base (and of new_base) */
} graft_entry;

typedef struct {
    size_t offset;      /* of the first character, in bytes from the start of the buffer */
    size_t length;      /* bytes taken, first to last character, the name included if it follows */
    uint32_t index;     /* of the entry in the table */
    uint8_t stride;     /* bytes a character: 1, 2 or 4 */
    uint8_t bare;       /* the name does not follow, or the entry has none */
    uint8_t overlapped; /* begins inside bytes an earlier hit has taken: not to be rewritten */
} graft_hit;

/* A growable list; begin with all zero, give back with graft_hits_free. */
typedef struct {
    graft_hit *items;
    size_t count, capacity;
} graft_hits;

typedef struct graft_table graft_table;

/* The names of the variants this machine can run, the fastest first, up to a NULL. */
const char *const *graft_variants(void);

/* Makes a table; copies the entries. NULL when memory is short. The caller has checked that hash
 * parts are distinct and of the alphabet, and that lengths agree. `variant` is one of
 * graft_variants() or NULL for the first of them. */
graft_table *graft_table_new(const graft_entry *entries, size_t count, const char *variant);
void graft_table_free(graft_table *table);
size_t graft_table_count(const graft_table *table);

/* The longest encoded reference of the table in bytes, from its first to its last character:
 * 4 * (longest entry) - 3; 0 for an empty table. */
size_t graft_table_span(const graft_table *table);

/* Finds the hits of bytes[0..length), in ascending order of offset, and appends them to hits.
 *
 * Returns the cut. With `final` set nothing follows the bytes and the cut is `length`. Else the
 * search goes on with bytes[cut..] followed by more input: every hit that begins before the cut is
 * in the list; those that are not overlapped lie wholly before it; and no byte before it can belong
 * to a later hit. length - cut is less than 2 * graft_table_span().
 *
 * Which hits, lengths and offsets are found does not depend on how the input is divided. When
 * memory is short, (size_t)-1, and hits is as it was.
 *
 * Why: windows that begin at limit = length - span + 1 or later are not judged, for their name may
 * end in what follows. Bytes are taken by disjoint hits, so at most one that takes bytes begins
 * before the limit and reaches over it; then the cut is where that one begins, else the limit. The
 * next round begins there with nothing taken, as the whole search would have it. */
size_t graft_find(const graft_table *table, const uint8_t *bytes, size_t length, int final,
                  graft_hits *hits);

/* Writes the replacements of hits[0..count), found in these very bytes, in place. */
void graft_apply(const graft_table *table, uint8_t *bytes, const graft_hit *hits, size_t count);

void graft_hits_free(graft_hits *hits);

#endif

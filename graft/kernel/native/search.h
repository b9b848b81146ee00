/* What the variants of the search for windows share: its state, and the interface of a variant. */
#ifndef GRAFT_SEARCH_H
#define GRAFT_SEARCH_H

#include "entries.h"

typedef struct {
    const graft_table *table;
    const uint8_t *bytes;
    size_t length;
    size_t limit; /* windows that begin here or later are left for the next round */
    graft_hits *hits;
    size_t taken; /* end of the bytes taken so far */
    size_t last;  /* the hit that took them: index in hits, if taken > 0 */
    int short_of_memory;
} search;

/* Judges a window that the filter let pass, which is at `offset` of the whole. */
void graft_judge(search *s, const uint8_t *window, size_t offset, unsigned stride);

typedef struct graft_variant {
    const char *name;
    int (*runs_here)(void);
    void (*find_windows)(search *s);
} graft_variant;

extern const graft_variant graft_portable;
#if defined(__x86_64__)
extern const graft_variant graft_avx2;
#elif defined(__aarch64__)
extern const graft_variant graft_neon;
#endif

/* NULL: the fastest that runs here. NULL is returned for a name that does not. */
const graft_variant *graft_variant_named(const char *name);

#endif

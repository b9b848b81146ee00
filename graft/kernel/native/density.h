/* Whether bytes are packed or encrypted: in windows of them, hardly a byte comes more often than any
 * other. The specification is graft/kernel/density.py. No Python.h. */
#ifndef GRAFT_DENSITY_H
#define GRAFT_DENSITY_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t passed;  /* bytes */
    uint64_t windows; /* that were counted */
    uint64_t dense;   /* of these */
    uint64_t run, longest; /* dense ones behind each other: at the end, and at most */
    uint32_t stride;  /* from one window's begin to the next one's */
    uint32_t filled;  /* bytes of the window in hand */
    uint32_t pairs;   /* of equal ones among these */
    uint16_t counts[256];
} graft_density;

/* Begins bytes of which so many will come. */
void graft_density_begin(graft_density *d, uint64_t size);
void graft_density_more(graft_density *d, const uint8_t *bytes, size_t length);

/* Ends the last window. */
void graft_density_end(graft_density *d);

/* Whether a part is dense; `mostly`: whether most of it is. */
int graft_density_is(const graft_density *d, int mostly);

#endif

/* Words of eight bytes looked for in bytes: what every longer pattern is found by. No Python.h. */
#ifndef GRAFT_ANCHORS_H
#define GRAFT_ANCHORS_H

#include <stddef.h>
#include <stdint.h>

enum { GRAFT_ANCHOR = 8 };

typedef struct graft_anchors graft_anchors;

typedef struct {
    size_t offset;
    uint32_t index;
} graft_anchor_hit;

typedef struct {
    graft_anchor_hit *items;
    size_t count, room;
} graft_anchor_hits;

/* The first `count` words of `words`; of equal ones all are found. NULL: no memory. */
graft_anchors *graft_anchors_new(const uint8_t *words, size_t count);
void graft_anchors_free(graft_anchors *anchors);
size_t graft_anchors_count(const graft_anchors *anchors);

/* Whether one of the words stands at 0, step, 2 * step... */
int graft_anchors_stand(const graft_anchors *anchors, const uint8_t *bytes, size_t length,
                        size_t step);

/* Appends the words that stand at 0, step, 2 * step... to `hits`; of equal words in the order of
 * their indices. 0, or -1: no memory. */
int graft_anchors_find(const graft_anchors *anchors, const uint8_t *bytes, size_t length,
                       size_t step, graft_anchor_hits *hits);

#endif

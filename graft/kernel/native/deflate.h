/* Whether bytes can be the beginning of a deflated stream (RFC 1951). No Python.h. */
#ifndef GRAFT_DEFLATE_H
#define GRAFT_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

enum {
    GRAFT_DEFLATE_KEPT = 4096,
    GRAFT_DEFLATE_AHEAD = 16 /* bytes that graft_deflate_may_begin looks at */
};

/* To be called once, before the others. */
void graft_deflate_prepare(void);

/* What was unpacked of a stream that has ended. */
typedef struct {
    size_t made; /* bytes */
    size_t end;  /* of the stream, in bytes from its beginning; 0: it has not ended yet */
    uint8_t bytes[GRAFT_DEFLATE_KEPT]; /* the first ones */
} graft_deflated;

/* 0: graft_deflate_begins says no of bytes that begin with these. Quickly told. */
int graft_deflate_may_begin(const uint8_t *bytes);

/* 1: the first symbols are sound, or the stream ends soundly with a hash part's length or more.
 * 0: it is no such stream, or one too short. -1: the bytes end before that is known. */
int graft_deflate_begins(const uint8_t *bytes, size_t length, graft_deflated *out);

#endif

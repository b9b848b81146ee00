/* Bytes that a text spells in digits. No Python.h. */
#ifndef GRAFT_SPELLED_H
#define GRAFT_SPELLED_H

#include <stddef.h>
#include <stdint.h>

enum { GRAFT_SPELLED = 512 }; /* bytes by which a spelled stream is judged */

enum graft_spelling { GRAFT_SPELLED_BASE64, GRAFT_SPELLED_HEX, GRAFT_SPELLED_DECIMAL };

/* Reads what is spelled from the first digit on, into at most `room` bytes; returns how many.
 * `*ends`: a character that is neither a digit nor a filler ends it, and not `room` or `length`. */
size_t graft_unspell(enum graft_spelling spelling, const uint8_t *text, size_t length, uint8_t *out,
                     size_t room, int *ends);

#endif

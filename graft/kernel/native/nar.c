#include "walk.h"

#include <string.h>

#define BATCH 65536 /* bytes of NAR worth a call of the sink */

static int hand_over(walk *w, const uint8_t *bytes, size_t length)
{
    if (w->job->sink(w->job->context, bytes, length))
        return fail(w, GRAFT_TREE_STOPPED, "", 0);
    return 0;
}

int nar_flush(walk *w)
{
    size_t length = w->batched;
    w->batched = 0;
    return length ? hand_over(w, w->batch, length) : 0;
}

/* Fewer than BATCH bytes wait at any time, and fewer are added: the buffer holds twice that. */
static int batch(walk *w, const void *bytes, size_t length)
{
    if (length >= BATCH)
        return nar_flush(w) || hand_over(w, bytes, length) ? -1 : 0;
    if (need(w, &w->batch, 2 * BATCH))
        return -1;
    memcpy(w->batch + w->batched, bytes, length);
    w->batched += length;
    return w->batched >= BATCH ? nar_flush(w) : 0;
}

static inline int emit(walk *w, const void *bytes, size_t length)
{
    w->report->nar_size += length;
    return w->job->sink ? batch(w, bytes, length) : 0;
}

static inline int emit_number(walk *w, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> 8 * i);
    return emit(w, bytes, sizeof bytes);
}

static inline int emit_padding(walk *w, uint64_t length)
{
    static const uint8_t zeros[8];
    return emit(w, zeros, (size_t)(-length & 7));
}

static inline int emit_string(walk *w, const char *bytes, size_t length)
{
    return emit_number(w, length) || emit(w, bytes, length) || emit_padding(w, length) ? -1 : 0;
}

#define WORD(w, word) emit_string(w, word, sizeof word - 1)

int nar_begin(walk *w) { return WORD(w, "nix-archive-1"); }

int nar_entry(walk *w, const char *name, size_t length)
{
    return WORD(w, "entry") || WORD(w, "(") || WORD(w, "name") || emit_string(w, name, length) ||
                   WORD(w, "node")
               ? -1
               : 0;
}

int nar_entry_end(walk *w) { return WORD(w, ")"); }

int nar_directory(walk *w)
{
    return WORD(w, "(") || WORD(w, "type") || WORD(w, "directory") ? -1 : 0;
}

int nar_directory_end(walk *w) { return WORD(w, ")"); }

int nar_symlink(walk *w, const char *target, size_t length)
{
    return WORD(w, "(") || WORD(w, "type") || WORD(w, "symlink") || WORD(w, "target") ||
                   emit_string(w, target, length) || WORD(w, ")")
               ? -1
               : 0;
}

int nar_regular(walk *w, uint64_t size, int executable)
{
    if (WORD(w, "(") || WORD(w, "type") || WORD(w, "regular") ||
        (executable && (WORD(w, "executable") || WORD(w, ""))))
        return -1;
    return WORD(w, "contents") || emit_number(w, size) ? -1 : 0;
}

int nar_contents(walk *w, const uint8_t *bytes, size_t length) { return emit(w, bytes, length); }

int nar_regular_end(walk *w, uint64_t size)
{
    return emit_padding(w, size) || WORD(w, ")") ? -1 : 0;
}

/* A file's contents in windows, one after the other: read into a buffer, or mapped. */
#ifndef GRAFT_CONTENTS_H
#define GRAFT_CONTENTS_H

#include "walk.h"

typedef struct {
    file *file;
    uint8_t *bytes; /* in hand; may be changed, without effect on the file */
    size_t length;
    size_t changed; /* as many of the first ones may not be as in the file */
    uint64_t base;  /* the offset of bytes[0] in the file */
    uint64_t got;   /* the offset after the last one: bytes had so far */
    mapping *mapping; /* NULL: the file is read */
    int mapped;       /* the bytes are in the mapping, else in walk.buffer */
} window;

int window_open(walk *w, window *v, file *f);

/* Adds the bytes that follow; *final says that they are the last ones. */
int window_more(walk *w, window *v, int *final);

/* To be called when the bytes in hand have been used: fails if they were no longer there, for the
 * file was cut short while it was mapped, and at the end if it has grown. */
int window_whole(walk *w, const window *v);

/* Lets the first bytes go. Of those that stay, `changed` at the front were changed. */
void window_drop(walk *w, window *v, size_t count, size_t changed);

void window_close(window *v);

#endif

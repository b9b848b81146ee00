/* A file's contents in windows, one after the other: read into a buffer, or mapped. */
#ifndef GRAFT_CONTENTS_H
#define GRAFT_CONTENTS_H

#include "walk.h"

typedef struct mapping mapping;

/* begin with window_open */
typedef struct {
    file *file;
    uint8_t *bytes; /* in hand; window_writable before they are changed */
    size_t length;
    uint64_t base; /* the offset of bytes[0] in the file */
    uint64_t got;  /* the offset after the last one: bytes had so far */
    size_t changed; /* as many of the first bytes may not be as in the file */
    mapping *mapping; /* NULL: the file is read */
    uint8_t *map; /* NULL: the bytes are in walk.buffer */
    size_t mapped;
    int writable;
} window;

int window_open(walk *w, window *v, file *f);

/* Adds the bytes that follow; *final says that they are the last ones. */
int window_more(walk *w, window *v, int *final);

int window_writable(walk *w, window *v);

/* Whether bytes in hand were not there any more: the file was cut short while it was mapped. */
int window_broken(walk *w, const window *v);

/* Lets the first bytes go. Of those that stay, `changed` at the front were changed. */
void window_drop(walk *w, window *v, size_t count, size_t changed);

void window_close(window *v);

#endif

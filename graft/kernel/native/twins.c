#include "walk.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Threads wait for each other only at files of one stripe: few of them at a time. */
#define STRIPES 64

/* A made file whose original has further hard links: these become links to it. */
typedef struct {
    identity original;
    char *path; /* NULL: an empty slot */
    tally hits;
} twin;

typedef struct {
    pthread_mutex_t lock;
    twin *slots;
    size_t count, capacity; /* never full; the capacity is a power of two */
} stripe;

struct twins {
    stripe stripes[STRIPES];
};

static uint64_t mixed(identity original)
{
    return ((uint64_t)original.inode ^ (uint64_t)original.device << 32) * 0x9e3779b97f4a7c15u;
}

static stripe *stripe_of(const walk *w, identity original)
{
    return &w->twins->stripes[mixed(original) >> 58];
}

/* The slot of an original, or the empty one where it belongs. */
static twin *slot_of(twin *slots, size_t capacity, identity original)
{
    size_t at = (size_t)(mixed(original) >> 24) & (capacity - 1);
    while (slots[at].path && !same(slots[at].original, original))
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

twins *twins_new(void)
{
    twins *t = calloc(1, sizeof *t);
    for (size_t i = 0; t && i < STRIPES; i++)
        (void)pthread_mutex_init(&t->stripes[i].lock, NULL); /* cannot fail with these attributes */
    return t;
}

void twins_free(twins *t)
{
    for (size_t i = 0; t && i < STRIPES; i++) {
        stripe *s = &t->stripes[i];
        for (size_t j = 0; j < s->capacity; j++)
            free(s->slots[j].path);
        free(s->slots);
        (void)pthread_mutex_destroy(&s->lock);
    }
    free(t);
}

void twins_lock(walk *w, identity original)
{
    (void)pthread_mutex_lock(&stripe_of(w, original)->lock);
}

void twins_unlock(walk *w, identity original)
{
    (void)pthread_mutex_unlock(&stripe_of(w, original)->lock);
}

int twins_remember(walk *w, identity original, const tally *hits)
{
    stripe *s = stripe_of(w, original);
    if (s->count >= s->capacity / 2) {
        size_t capacity = s->capacity ? 2 * s->capacity : 16;
        twin *wider = calloc(capacity, sizeof *wider);
        if (!wider)
            return fail_memory(w);
        for (size_t i = 0; i < s->capacity; i++)
            if (s->slots[i].path)
                *slot_of(wider, capacity, s->slots[i].original) = s->slots[i];
        free(s->slots);
        s->slots = wider;
        s->capacity = capacity;
    }
    char *path = strdup(w->new_path.bytes);
    if (!path)
        return fail_memory(w);
    twin *slot = slot_of(s->slots, s->capacity, original);
    s->count += !slot->path;
    free(slot->path); /* its links are used up: further twins go to the newer copy */
    *slot = (twin){original, path, *hits};
    return 0;
}

/* Links a file made before, which in a deep tree may be further away than one path can say. */
static int link_made(int top, const char *path, const place *to)
{
    int from = top, result = -1;
    while (strlen(path) >= PATH_MAX) {
        char part[PATH_MAX];
        memcpy(part, path, sizeof part - 1);
        part[sizeof part - 1] = 0;
        char *slash = strrchr(part, '/');
        if (!slash)
            goto done;
        *slash = 0;
        path += slash - part + 1;
        int next = openat(from, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (from != top)
            (void)close(from);
        from = next;
        if (from < 0)
            return -1;
    }
    result = linkat(from, path, to->directory, to->name, 0);
done:
    if (from != top)
        (void)close(from);
    return result;
}

int twins_link(const walk *w, identity original, const place *to, tally *hits)
{
    const stripe *s = stripe_of(w, original);
    if (!s->count)
        return 0;
    const twin *made = slot_of(s->slots, s->capacity, original);
    if (!made->path || link_made(w->top, made->path, to))
        return 0;
    *hits = made->hits;
    return 1;
}

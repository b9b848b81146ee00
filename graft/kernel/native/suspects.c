#include "walk.h"

#include "streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CARRY = GRAFT_ANCHOR - 1 };

static const uint64_t NOWHERE = UINT64_MAX;

static int remember(walk *w, enum graft_where where)
{
    graft_tree_report *r = w->report;
    graft_suspect *room =
        grown(r->suspects, &r->suspects_capacity, r->suspects_count + 1, sizeof *room);
    if (!room)
        return fail_memory(w);
    r->suspects = room;
    char *path = strdup(w->new_path.bytes);
    if (!path)
        return fail_memory(w);
    r->suspects[r->suspects_count++] = (graft_suspect){.file = path, .where = (uint8_t)where};
    return 0;
}

int graft_suspicion_is_of(const graft_suspicion *s, const uint8_t *head, size_t length)
{
    for (size_t i = 0; i < s->magic_count; i++)
        if (s->magics[i].length <= length && !memcmp(s->magics[i].bytes, head, s->magics[i].length))
            return 1;
    return s->magic_count == 0;
}

int watch_begin(walk *w, file *f, const uint8_t *bytes, size_t length)
{
    uint8_t head[GRAFT_ANCHOR];
    watch *of = &f->watch;
    of->begun = 1;
    of->passed = of->carried = 0;
    if (length < sizeof head && length < (uint64_t)f->status.st_size) {
        ssize_t n;
        do
            n = pread(f->source, head, sizeof head, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return fail_source(w, "pread");
        bytes = head;
        length = (size_t)n;
    }
    for (size_t i = 0; i < w->job->suspicion_count; i++)
        if (w->job->suspicions[i].density) {
            of->next[i] = 0;
            of->mostly = w->job->suspicions[i].magic_count &&
                         graft_suspicion_is_of(&w->job->suspicions[i], bytes, length);
            graft_density_begin(&of->density, (uint64_t)f->status.st_size);
        } else {
            of->next[i] = graft_suspicion_is_of(&w->job->suspicions[i], bytes, length) ? 0 : NOWHERE;
        }
    return 0;
}

enum { AHEAD = 512 }; /* bytes by which a beginning at the end of others is judged */

/* Whether a stream begins in these bytes, or in the last ones that passed. */
static int begins(const watch *of, const uint8_t *bytes, size_t length, int final)
{
    if (of->carried) {
        uint8_t joined[CARRY + AHEAD];
        size_t ahead = length < AHEAD ? length : AHEAD;
        memcpy(joined, of->carry, of->carried);
        memcpy(joined + of->carried, bytes, ahead);
        if (graft_streams_stand(joined, of->carried + ahead, of->carried, of->passed - of->carried,
                                final && ahead == length))
            return 1;
    }
    size_t kept = final ? 0 : length < CARRY ? length : CARRY;
    return graft_streams_stand(bytes, length, length - kept, of->passed, final);
}

/* Whether one of the words stands at one of its steps that ends in these bytes, which follow those
 * that passed. */
static int stands(const graft_suspicion *s, const watch *of, uint64_t *next, const uint8_t *bytes,
                  size_t length)
{
    uint64_t end = of->passed + length;
    uint8_t word[GRAFT_ANCHOR];
    while (*next < of->passed && *next + GRAFT_ANCHOR <= end) {
        size_t before = (size_t)(of->passed - *next);
        memcpy(word, of->carry + of->carried - before, before);
        memcpy(word + before, bytes, GRAFT_ANCHOR - before);
        if (graft_anchors_stand(s->anchors, word, sizeof word, 1))
            return 1;
        *next += s->step;
    }
    if (*next < of->passed || *next + GRAFT_ANCHOR > end)
        return 0;
    size_t at = (size_t)(*next - of->passed);
    if (graft_anchors_stand(s->anchors, bytes + at, length - at, s->step))
        return 1;
    *next += s->step * ((length - at - GRAFT_ANCHOR) / s->step + 1);
    return 0;
}

int watch_more(walk *w, file *f, const uint8_t *bytes, size_t length)
{
    watch *of = &f->watch;
    int final = of->passed + length >= (uint64_t)f->status.st_size;
    for (size_t i = 0; i < w->job->suspicion_count; i++) {
        const graft_suspicion *s = &w->job->suspicions[i];
        if (of->next[i] == NOWHERE)
            continue;
        if (s->density) {
            graft_density_more(&of->density, bytes, length);
            if (!final)
                continue;
            graft_density_end(&of->density);
            of->next[i] = NOWHERE;
            if (graft_density_is(&of->density, of->mostly) && remember(w, GRAFT_IN_DENSITY))
                return -1;
        } else if (!s->anchors) {
            if (begins(of, bytes, length, final)) {
                of->next[i] = NOWHERE;
                if (remember(w, GRAFT_IN_STREAMS))
                    return -1;
            }
        } else if (stands(s, of, &of->next[i], bytes, length)) {
            /* One word is enough; streams are another question. */
            for (size_t j = 0; j < w->job->suspicion_count; j++)
                if (w->job->suspicions[j].anchors)
                    of->next[j] = NOWHERE;
            if (remember(w, GRAFT_IN_CONTENTS))
                return -1;
        }
    }
    if (length >= CARRY) {
        memcpy(of->carry, bytes + length - CARRY, CARRY);
        of->carried = CARRY;
    } else {
        size_t kept = of->carried + length > CARRY ? CARRY - length : of->carried;
        memmove(of->carry, of->carry + of->carried - kept, kept);
        memcpy(of->carry + kept, bytes, length);
        of->carried = kept + length;
    }
    of->passed += length;
    return 0;
}

int suspect_text(walk *w, const char *bytes, size_t length, enum graft_where where)
{
    for (size_t i = 0; i < w->job->suspicion_count; i++) {
        const graft_suspicion *s = &w->job->suspicions[i];
        if (s->anchors && !s->magic_count &&
            graft_anchors_stand(s->anchors, (const uint8_t *)bytes, length, s->step))
            return remember(w, where);
    }
    return 0;
}

int add_suspects(graft_tree_report *to, graft_tree_report *from)
{
    if (!from->suspects_count)
        return 0;
    size_t count = to->suspects_count + from->suspects_count;
    graft_suspect *room = grown(to->suspects, &to->suspects_capacity, count, sizeof *room);
    if (!room)
        return -1;
    to->suspects = room;
    memcpy(to->suspects + to->suspects_count, from->suspects, from->suspects_count * sizeof *room);
    to->suspects_count = count;
    from->suspects_count = 0;
    return 0;
}

void free_suspects(graft_tree_report *r)
{
    for (size_t i = 0; i < r->suspects_count; i++)
        free(r->suspects[i].file);
    free(r->suspects);
}

/* anchors.c on random inputs of few characters, against a naive search. */
#include "anchors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 40, LENGTH = 300 };

static uint32_t state = 1;

static uint32_t chance(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static void fill(uint8_t *bytes, size_t length, const char *alphabet, uint32_t size)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)alphabet[chance(size)];
}

static size_t naive(const uint8_t *words, size_t count, const uint8_t *bytes, size_t length,
                    size_t step, graft_anchor_hit *hits)
{
    size_t found = 0;
    for (size_t at = 0; at + GRAFT_ANCHOR <= length; at += step)
        for (size_t i = 0; i < count; i++)
            if (!memcmp(bytes + at, words + i * GRAFT_ANCHOR, GRAFT_ANCHOR))
                hits[found++] = (graft_anchor_hit){at, (uint32_t)i};
    return found;
}

static int check(size_t *total)
{
    static const char *alphabets[] = {"a", "ab", "a\0", "a\xff"};
    uint32_t which = chance(4), size = which ? 2 : 1;
    size_t count = chance(WORDS), length = chance(LENGTH), step = 1 + chance(9);
    uint8_t *words = malloc(count * GRAFT_ANCHOR + 1), *bytes = malloc(length + 1);
    graft_anchor_hit *expected = malloc((length + 1) * (count + 1) * sizeof *expected);
    if (words == NULL || bytes == NULL || expected == NULL)
        return 1;
    /* exactly as long as it says, so that the sanitizer sees a read beyond the end */
    uint8_t *data = length ? realloc(bytes, length) : bytes;
    fill(words, count * GRAFT_ANCHOR, alphabets[which], size);
    fill(data, length, alphabets[which], size);
    for (size_t i = chance(60); i < length; i += 1 + chance(60)) /* a byte that is in no word */
        data[i] = chance(2) ? '.' : 0x80;
    graft_anchors *anchors = graft_anchors_new(words, count);
    graft_anchor_hits hits = {0};
    int failed = anchors == NULL || graft_anchors_count(anchors) != count ||
                 graft_anchors_find(anchors, data, length, step, &hits);
    size_t found = naive(words, count, data, length, step, expected);
    failed |= hits.count != found;
    for (size_t i = 0; !failed && i < found; i++)
        failed = hits.items[i].offset != expected[i].offset ||
                 hits.items[i].index != expected[i].index;
    *total += found;
    graft_anchors_free(anchors);
    free(hits.items);
    free(expected);
    free(words);
    free(data);
    return failed;
}

int main(int count, char **arguments)
{
    size_t inputs = count > 1 ? (size_t)atoi(arguments[1]) : 1000, total = 0;
    for (size_t i = 0; i < inputs; i++)
        if (check(&total)) {
            fprintf(stderr, "input %zu differs\n", i);
            return 1;
        }
    printf("%zu\n", total);
    return 0;
}

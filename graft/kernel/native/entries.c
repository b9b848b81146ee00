#include "search.h"

#include <stdlib.h>

enum {
    LEAST_LINES_LOG = 6, /* few entries pay no more than the innermost cache has to spare */
    NEAR_LINES_LOG = 12, /* 256 KiB */
    MOST_LINES_LOG = 26,
};

/* Of all 32 characters: store paths may well agree in their first 8. */
static uint64_t hash_of(const uint8_t *characters)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < GRAFT_HASH_LENGTH; i += 8) {
        hash = (hash ^ load64(characters + i)) * UINT64_C(0xD6E8FEB86659FD93);
        hash ^= hash >> 32;
    }
    return hash;
}

size_t graft_look_up(const graft_table *table, const uint8_t *characters)
{
    uint64_t hash = hash_of(characters);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (size_t at = (size_t)hash & table->slot_mask;; at = (at + 1) & table->slot_mask) {
        const slot *here = &table->slots[at];
        if (here->index == 0)
            return table->count;
        size_t index = here->index - 1;
        if (here->tag == tag &&
            memcmp(table->entries[index].old_base, characters, GRAFT_HASH_LENGTH) == 0)
            return index;
    }
}

static void enter(graft_table *table, size_t index)
{
    const uint8_t *characters = table->entries[index].old_base;
    for (unsigned j = 0; j < GROUP; j++) {
        uint64_t hash = hash_of_sixteen(characters + GROUP - 1 - j);
        uint16_t *cells = table->filter[hash >> table->filter_shift].cells;
        for (unsigned which = 0; which < 3; which++)
            cells[cell(hash, which)] |= (uint16_t)(1u << j);
    }
    uint64_t hash = hash_of(characters);
    size_t at = (size_t)hash & table->slot_mask;
    while (table->slots[at].index != 0)
        at = (at + 1) & table->slot_mask;
    table->slots[at].tag = (uint32_t)(hash >> 32);
    table->slots[at].index = (uint32_t)index + 1;
}

/* Zeroed, and each line in one line of the cache. */
static line *new_filter(size_t lines)
{
    line *filter = aligned_alloc(sizeof *filter, lines * sizeof *filter);
    if (filter != NULL)
        memset(filter, 0, lines * sizeof *filter);
    return filter;
}

graft_table *graft_table_new(const graft_entry *entries, size_t count, const char *variant)
{
    if (count > UINT32_MAX / 64)
        return NULL; /* hits number entries with 32 bits */
    size_t text_length = 0, longest = 0, slots = 4;
    for (size_t i = 0; i < count; i++) {
        text_length += 2 * entries[i].length;
        if (entries[i].length > longest)
            longest = entries[i].length;
    }
    while (slots < 2 * count)
        slots *= 2;
    unsigned lines_log = LEAST_LINES_LOG;
    while (lines_log < MOST_LINES_LOG && (size_t)1 << lines_log < 2 * count)
        lines_log++; /* half a line for each: of groups without a hit 1 in 600 passes */

    graft_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    table->count = count;
    table->span = count == 0 ? 0 : 4 * longest - 3;
    table->variant = graft_variant_named(variant);
    table->entries = calloc(count + 1, sizeof *table->entries);
    table->text = malloc(text_length + 1);
    table->filter = new_filter((size_t)1 << lines_log);
    table->filter_shift = 64 - lines_log;
    table->far = lines_log > NEAR_LINES_LOG;
    table->slots = calloc(slots, sizeof *table->slots);
    table->slot_mask = slots - 1;
    if (table->variant == NULL || table->entries == NULL || table->text == NULL ||
        table->filter == NULL || table->slots == NULL) {
        graft_table_free(table);
        return NULL;
    }
    uint8_t *text = table->text;
    for (size_t i = 0; i < count; i++) {
        entry *to = &table->entries[i];
        to->length = entries[i].length;
        to->old_base = memcpy(text, entries[i].old_base, to->length);
        text += to->length;
        if (entries[i].new_base != NULL) {
            to->new_base = memcpy(text, entries[i].new_base, to->length);
            text += to->length;
        }
        enter(table, i);
    }
    return table;
}

void graft_table_free(graft_table *table)
{
    if (table == NULL)
        return;
    free(table->entries);
    free(table->text);
    free(table->filter);
    free(table->slots);
    free(table);
}

size_t graft_table_count(const graft_table *table)
{
    return table->count;
}

size_t graft_table_span(const graft_table *table)
{
    return table->span;
}

/* Walks one tree as its arguments say, for test_tree_sanitized.py: built with tree.c and match.c
 * alone, under sanitizers.
 *
 *     drive_tree SOURCE TARGET|- WINDOW links|copies [OLD NEW]...
 *
 * Prints the walk's error, system call and file, the NAR's size and FNV-1a hash, and the counts of
 * references, found places, patched, linked and copied files.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tree.h"

static int sink(void *context, const uint8_t *bytes, size_t length)
{
    uint64_t *hash = context;
    for (size_t i = 0; i < length; i++)
        *hash = (*hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return 0;
}

int main(int count, char **arguments)
{
    if (count < 5)
        return 2;
    graft_entry table[16], wanted[16];
    uint8_t seen[16] = {0};
    size_t entries = 0;
    for (int i = 5; i + 1 < count && entries < 16; i += 2, entries++) {
        table[entries] = (graft_entry){(const uint8_t *)arguments[i],
                                       (const uint8_t *)arguments[i + 1], strlen(arguments[i])};
        wanted[entries] =
            (graft_entry){(const uint8_t *)arguments[i + 1], NULL, strlen(arguments[i + 1])};
    }
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    graft_tree_job job = {
        .source = arguments[1],
        .target = strcmp(arguments[2], "-") ? arguments[2] : NULL,
        .table = graft_table_new(table, entries),
        .wanted = graft_table_new(wanted, entries),
        .sink = sink,
        .context = &hash,
        .report = 1,
        .links = strcmp(arguments[4], "links") == 0,
        .reflinks = 1,
        .owner = geteuid(),
        .group = getegid(),
        .window = strtoul(arguments[3], NULL, 10),
        .seen = seen,
    };
    graft_tree_report report;
    int error = graft_tree(&job, &report);
    printf("%d %s %s\n", error, error ? report.call : "", error ? report.file : "");
    printf("%" PRIu64 " %016" PRIx64 "\n", report.nar_size, hash);
    printf("%" PRIu64 " %zu %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", report.references,
           report.found_count, report.patched, report.linked, report.copied + report.reflinked);
    graft_tree_report_free(&report);
    graft_table_free((graft_table *)job.table);
    graft_table_free((graft_table *)job.wanted);
    return 0;
}

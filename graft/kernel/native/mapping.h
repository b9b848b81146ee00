/* Mapped files that may be cut short by others while they are looked at.
 *
 * The kernel answers a look at a page that is gone with SIGBUS. Between mapping_begin and
 * mapping_end that signal is caught: the pages become zeros, and the mapping is marked as broken. A
 * SIGBUS that is not about one of these mappings goes to the handler that was there before.
 */
#ifndef GRAFT_MAPPING_H
#define GRAFT_MAPPING_H

#include <stddef.h>
#include <stdint.h>

typedef struct mapping mapping;

/* For one file after the other. NULL: there are too many; then files are to be read. */
mapping *mapping_begin(void);
void mapping_end(mapping *m);

/* Before each file: nothing is broken yet. */
void mapping_renew(mapping *m);

/* Maps [offset, offset + length) of a file, the offset a page's multiple, instead of what was mapped
 * before. May be written to, without effect on the file. NULL: errno. */
uint8_t *mapping_map(mapping *m, int file, uint64_t offset, size_t length);
void mapping_unmap(mapping *m);

int mapping_broken(const mapping *m);

#endif

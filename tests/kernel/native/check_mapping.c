/* A range that another thread is changing, at the step where one bound is new and one old, gets no
 * zeros for a fault elsewhere: between a fault and the old end lies the memory of everybody. */
#include "mapping.c"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>

enum { PAGE = 4096 };

int main(int count, char **arguments)
{
    int empty = count == 2 ? open(arguments[1], O_RDWR) : -1;
    mapping *changing = mapping_begin(), *ours = mapping_begin();
    uint8_t *memory =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile uint8_t *bytes = mapping_map(ours, empty, 0, PAGE); /* the kernel goes downwards */
    if (memory == MAP_FAILED || !bytes || (uintptr_t)bytes > (uintptr_t)memory)
        return 2;
    memory[0] = 0xa5;
    /* As set_range does up to the middle, and then the rest. */
    atomic_store(&changing->begin, (uintptr_t)memory);
    atomic_store(&changing->end, (uintptr_t)memory + PAGE);
    (void)atomic_fetch_add(&changing->version, 1);
    atomic_store(&changing->begin, 0);
    if (bytes[0] != 0 || memory[0] != 0xa5 || mapping_broken(changing) || !mapping_broken(ours))
        return 1;
    atomic_store(&changing->end, 0);
    (void)atomic_fetch_add(&changing->version, 1);
    mapping_end(ours);
    mapping_end(changing);
    return 0;
}

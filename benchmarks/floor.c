/* The floor of whatever must look at bytes, and the matcher of graft held against it.
 *
 *     floor memory VARIANT ROUNDS HASHES COUNTS FILE...
 *     floor files VARIANT ROUNDS HASHES COUNTS WINDOW FILE...
 *
 * The bytes are in touched anonymous memory, or read from the files, WINDOW bytes a call. VARIANT:
 * the matcher's, as graft names it. HASHES: a base name a line. COUNTS: how many of them to look for, e.g. 1,10,1000. In each round
 * the bytes are only read once, then searched for each count. Prints for each: `read` or the count,
 * seconds, bytes, hits. The reading is as wide as the variant.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "match.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { MOST_COUNTS = 16, STEP = 256 };

static const char *variant;
static volatile uint64_t sink; /* so that no reading is left out */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t rest(const uint8_t *bytes, size_t from, size_t length)
{
    uint64_t sum = 0;
    for (; from < length; from++)
        sum ^= bytes[from];
    sink = sum;
    return length;
}

/* Eight bytes a load; the empty assembly keeps the compiler from making vectors of them. */
static void read_words(const uint8_t *bytes, size_t length)
{
    uint64_t sums[4] = {0}, words[4];
    size_t at = 0;
    for (; at + sizeof words <= length; at += sizeof words) {
        memcpy(words, bytes + at, sizeof words);
        for (int i = 0; i < 4; i++) {
            sums[i] ^= words[i];
            __asm__("" : "+r"(sums[i]));
        }
    }
    sink = sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
    rest(bytes, at, length);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void read_avx2(const uint8_t *bytes, size_t length)
{
    __m256i sums[STEP / 32] = {0};
    size_t at = 0;
    for (; at + STEP <= length; at += STEP)
        for (int i = 0; i < STEP / 32; i++)
            sums[i] = _mm256_xor_si256(
                sums[i], _mm256_loadu_si256((const __m256i *)(const void *)(bytes + at + 32 * i)));
    for (int i = 1; i < STEP / 32; i++)
        sums[0] = _mm256_xor_si256(sums[0], sums[i]);
    sink = (uint64_t)_mm256_extract_epi64(sums[0], 0);
    rest(bytes, at, length);
}
#elif defined(__aarch64__)
static void read_neon(const uint8_t *bytes, size_t length)
{
    uint8x16_t sums[STEP / 32] = {0};
    size_t at = 0;
    for (; at + STEP / 2 <= length; at += STEP / 2)
        for (int i = 0; i < STEP / 32; i++)
            sums[i] = veorq_u8(sums[i], vld1q_u8(bytes + at + 16 * i));
    for (int i = 1; i < STEP / 32; i++)
        sums[0] = veorq_u8(sums[0], sums[i]);
    sink = vgetq_lane_u8(sums[0], 0);
    rest(bytes, at, length);
}
#endif

static void read_bytes(const uint8_t *bytes, size_t length)
{
#if defined(__x86_64__)
    if (strcmp(variant, "avx2") == 0) {
        read_avx2(bytes, length);
        return;
    }
#elif defined(__aarch64__)
    if (strcmp(variant, "neon") == 0) {
        read_neon(bytes, length);
        return;
    }
#endif
    read_words(bytes, length);
}

/* ---- tables ---- */

static graft_table *table_of(const char *file, size_t count)
{
    graft_entry *entries = calloc(count + 1, sizeof *entries);
    FILE *lines = fopen(file, "r");
    char *line = NULL;
    size_t room = 0, found = 0;
    if (!entries || !lines)
        die(file);
    while (found < count && getline(&line, &room, lines) > 0) {
        line[strcspn(line, "\n")] = 0;
        entries[found].old_base = (const uint8_t *)strdup(line);
        entries[found++].length = strlen(line);
    }
    fclose(lines);
    free(line);
    if (found < count) {
        fprintf(stderr, "%s has only %zu lines\n", file, found);
        exit(1);
    }
    graft_table *table = graft_table_new(entries, count, variant);
    if (!table)
        die("graft_table_new");
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)entries[i].old_base);
    free(entries);
    return table;
}

/* ---- bytes in memory ---- */

static uint8_t *loaded(char **files, int count, size_t *length)
{
    struct stat known;
    *length = 0;
    for (int i = 0; i < count; i++) {
        if (stat(files[i], &known))
            die(files[i]);
        *length += (size_t)known.st_size;
    }
    uint8_t *bytes =
        mmap(NULL, *length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        die("mmap");
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        int file = open(files[i], O_RDONLY);
        if (file < 0)
            die(files[i]);
        ssize_t got;
        while ((got = read(file, bytes + at, *length - at)) > 0)
            at += (size_t)got;
        close(file);
    }
    return bytes;
}

static void tell(const char *what, double seconds, size_t length, size_t hits)
{
    printf("%s %.9f %zu %zu\n", what, seconds, length, hits);
}

static void in_memory(const graft_table *table, const char *what, const uint8_t *bytes,
                      size_t length)
{
    graft_hits hits = {0};
    double begin = now();
    if (!table)
        read_bytes(bytes, length);
    else if (graft_find(table, bytes, length, 1, &hits) == (size_t)-1)
        die("graft_find");
    tell(what, now() - begin, length, hits.count);
    graft_hits_free(&hits);
}

/* ---- bytes of files ---- */

static void through_files(const graft_table *table, const char *what, char **files, int count,
                          size_t window)
{
    size_t carried_most = table ? 2 * graft_table_span(table) : 0, total = 0, found = 0;
    uint8_t *buffer = malloc(window + carried_most);
    graft_hits hits = {0};
    if (!buffer)
        die("malloc");
    double begin = now();
    for (int i = 0; i < count; i++) {
        int file = open(files[i], O_RDONLY | O_CLOEXEC);
        if (file < 0)
            die(files[i]);
        size_t carried = 0;
        off_t at = 0;
        for (;;) {
            ssize_t got = pread(file, buffer + carried, window, at);
            if (got < 0)
                die(files[i]);
            at += got;
            int final = (size_t)got < window;
            if (table) {
                size_t length = carried + (size_t)got;
                hits.count = 0;
                size_t cut = graft_find(table, buffer, length, final, &hits);
                if (cut == (size_t)-1)
                    die("graft_find");
                for (size_t j = 0; j < hits.count; j++)
                    found += hits.items[j].offset < cut;
                carried = length - cut;
                memmove(buffer, buffer + cut, carried);
            }
            if (final)
                break;
        }
        total += (size_t)at;
        close(file);
    }
    tell(what, now() - begin, total, found);
    graft_hits_free(&hits);
    free(buffer);
}

int main(int count, char **arguments)
{
    int memory = count > 6 && strcmp(arguments[1], "memory") == 0;
    if (!memory && (count < 8 || strcmp(arguments[1], "files") != 0)) {
        fprintf(stderr, "usage: floor memory|files VARIANT ROUNDS HASHES COUNTS [WINDOW] FILE...\n");
        return 2;
    }
    variant = arguments[2];
    graft_table *tables[MOST_COUNTS] = {NULL};
    char *names[MOST_COUNTS] = {"read"};
    int used = 1;
    for (char *name = strtok(arguments[5], ","); name && used < MOST_COUNTS;
         name = strtok(NULL, ",")) {
        names[used] = name;
        tables[used++] = table_of(arguments[4], strtoul(name, NULL, 10));
    }
    int first = memory ? 6 : 7;
    size_t window = memory ? 0 : strtoul(arguments[6], NULL, 10), length = 0;
    char **files = arguments + first;
    uint8_t *bytes = memory ? loaded(files, count - first, &length) : NULL;
    if (memory)
        read_bytes(bytes, length); /* so that the first that is timed has no advantage lost */
    for (int round = 0; round < atoi(arguments[3]); round++)
        for (int i = 0; i < used; i++) {
            if (memory)
                in_memory(tables[i], names[i], bytes, length);
            else
                through_files(tables[i], names[i], files, count - first, window);
        }
    for (int i = 1; i < used; i++)
        graft_table_free(tables[i]);
    return 0;
}

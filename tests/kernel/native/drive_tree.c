/* Walks one tree as its arguments say, for test_tree_sanitized.py: linked with the walk and the
 * matcher alone, under sanitizers, the allocations and system calls wrapped (ld --wrap).
 *
 *     drive_tree SOURCE TARGET|- WINDOW links|copies read|map THREADS FAULT [OLD NEW]...
 *
 * There is a sink if THREADS is 1. Prints a line of the walk's error, errno, the NAR's size and FNV-1a hash, the counts of
 * references, found places, patched, linked, copied and marked files, system call and file. FAULT 0: one
 * walk. Else walk after walk, to TARGET.1, TARGET.2, ...: the first wrapped call fails with errno
 * FAULT in the first walk, the second in the second, until one walk has no call left to fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree.h"

static atomic_long countdown; /* wrapped calls until one fails; 0 or less: none does */
static int fault;

static int fails(void)
{
    if (atomic_load(&countdown) <= 0 || atomic_fetch_sub(&countdown, 1) != 1)
        return 0;
    errno = fault;
    return 1;
}

#define WRAP(type, name, failure, parameters, arguments)                                           \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters { return fails() ? failure : __real_##name arguments; }

WRAP(char *, strdup, NULL, (const char *text), (text))
WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(void *, calloc, NULL, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, NULL, (void *old, size_t size), (old, size))
/* The walk asks for 64-bit offsets: these are glibc's names for what it then calls. */
WRAP(int, fstat64, -1, (int file, void *status), (file, status))
WRAP(int, fstatat64, -1, (int directory, const char *name, void *status, int flags),
     (directory, name, status, flags))
WRAP(int, statfs64, -1, (const char *path, void *status), (path, status))
WRAP(ssize_t, pread64, -1, (int file, void *bytes, size_t size, int64_t at),
     (file, bytes, size, at))
WRAP(void *, mmap64, (void *)-1,
     (void *at, size_t size, int protection, int flags, int file, int64_t offset),
     (at, size, protection, flags, file, offset))
WRAP(int, pthread_create, EAGAIN,
     (pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument),
     (thread, attributes, run, argument))
WRAP(ssize_t, write, -1, (int file, const void *bytes, size_t size), (file, bytes, size))
WRAP(ssize_t, copy_file_range, -1,
     (int from, int64_t *at, int to, int64_t *there, size_t size, unsigned flags),
     (from, at, to, there, size, flags))
WRAP(ssize_t, flistxattr, -1, (int file, char *names, size_t size), (file, names, size))
WRAP(ssize_t, readlinkat, -1, (int directory, const char *name, char *target, size_t size),
     (directory, name, target, size))
WRAP(int, symlinkat, -1, (const char *target, int directory, const char *name),
     (target, directory, name))
WRAP(int, linkat, -1, (int from, const char *old, int to, const char *new, int flags),
     (from, old, to, new, flags))
WRAP(int, mkdirat, -1, (int directory, const char *name, mode_t mode), (directory, name, mode))
WRAP(int, fchmod, -1, (int file, mode_t mode), (file, mode))
WRAP(int, futimens, -1, (int file, const struct timespec *times), (file, times))
WRAP(int, utimensat, -1, (int directory, const char *name, const struct timespec *times, int flags),
     (directory, name, times, flags))
WRAP(long, syscall, -1, (long number, int file, void *bytes, size_t size),
     (number, file, bytes, size))

int __real_openat64(int directory, const char *name, int flags, ...);
int __wrap_openat64(int directory, const char *name, int flags, ...);
int __wrap_openat64(int directory, const char *name, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return fails() ? -1 : __real_openat64(directory, name, flags, mode);
}

int __real_close(int file);
int __wrap_close(int file);
int __wrap_close(int file)
{
    int result = __real_close(file); /* a close that fails has closed */
    return fails() ? -1 : result;
}

static int sink(void *context, const uint8_t *bytes, size_t length)
{
    uint64_t *hash = context;
    for (size_t i = 0; i < length; i++)
        *hash = (*hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return 0;
}

static int next_descriptor(void)
{
    int next = dup(0);
    __real_close(next);
    return next;
}

static void walk_once(graft_tree_job job)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    graft_tree_report report;
    job.context = &hash;
    int free_descriptor = next_descriptor();
    int error = graft_tree(&job, &report);
    long left = countdown;
    countdown = 0;
    if (next_descriptor() != free_descriptor) {
        fprintf(stderr, "a descriptor is still open\n");
        exit(3);
    }
    printf("%d %d %" PRIu64 " %016" PRIx64, error, report.code, report.nar_size, hash);
    printf(" %" PRIu64 " %zu %" PRIu64 " %" PRIu64 " %" PRIu64, report.references,
           report.found_count, report.patched, report.linked, report.copied + report.reflinked);
    printf(" %zu %zu", report.marked_count, report.suspects_count);
    printf(" %s %s\n", error ? report.call : "", error && report.file ? report.file : "");
    graft_tree_report_free(&report);
    countdown = left;
}

int main(int count, char **arguments)
{
    if (count < 8)
        return 2;
    graft_entry table[16], wanted[16];
    uint8_t seen[16] = {0};
    size_t entries = 0;
    for (int i = 8; i + 1 < count && entries < 16; i += 2, entries++) {
        table[entries] = (graft_entry){(const uint8_t *)arguments[i],
                                       (const uint8_t *)arguments[i + 1], strlen(arguments[i])};
        wanted[entries] =
            (graft_entry){(const uint8_t *)arguments[i + 1], NULL, strlen(arguments[i + 1])};
    }
    graft_table *rewritten = graft_table_new(table, entries, NULL);
    graft_table *searched = graft_table_new(wanted, entries, NULL);
    const graft_magic magic = {0, 1, (const uint8_t *)"0"};
    const graft_name_mark suffix = {"d", 1, 0};
    const graft_marks marks = {&magic, &suffix, 1, 1, 1};
    const uint8_t *words = (const uint8_t *)(count > 9 ? arguments[9] : "");
    graft_anchors *anchors = graft_anchors_new(words, count > 9 ? 4 : 0);
    const graft_suspicion suspicions[] = {
        {.anchors = anchors, .step = 3},
        {.anchors = anchors, .step = 1, .magics = &magic, .magic_count = 1},
        {.density = 1, .step = 1, .magics = &magic, .magic_count = 1},
        {.step = 1}, /* in small windows the twin suspects fewer */
    };
    size_t suspicion_count = sizeof suspicions / sizeof *suspicions - (strtoul(arguments[3], NULL, 10) < 4096);
    graft_tree_job job = {
        .source = arguments[1],
        .target = strcmp(arguments[2], "-") ? arguments[2] : NULL,
        .table = rewritten,
        .wanted = searched,
        .sink = strcmp(arguments[6], "1") ? NULL : sink,
        .marks = &marks,
        .suspicions = suspicions,
        .suspicion_count = suspicion_count,
        .report = 1,
        .links = strcmp(arguments[4], "links") == 0,
        .owner = geteuid(),
        .group = getegid(),
        .window = strtoul(arguments[3], NULL, 10),
        .map_window = strtoul(arguments[3], NULL, 10),
        .map_from = strcmp(arguments[5], "map") ? UINT64_MAX : 0,
        .threads_map_from = strcmp(arguments[5], "map") ? UINT64_MAX : 0,
        .threads = strtoul(arguments[6], NULL, 10),
        .seen = seen,
    };
    fault = atoi(arguments[7]);
    if (fault == 0)
        walk_once(job);
    for (long number = 1; fault != 0 && countdown <= 0; number++) {
        char target[4096];
        snprintf(target, sizeof target, "%s.%ld", arguments[2], number);
        if (job.target)
            job.target = target;
        countdown = number;
        walk_once(job);
    }
    graft_table_free(rewritten);
    graft_table_free(searched);
    graft_anchors_free(anchors);
    return 0;
}

#define _FILE_OFFSET_BITS 64
#include "mapping.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 64 /* threads that map files at once */

/* The handler looks into all of them: whoever the bytes were handed to may be the one to fault.
 * Another thread may change its own meanwhile: `version` is odd then, and both bounds are of one
 * range only if it is the same before and after they are read. */
struct mapping {
    atomic_uint version;
    _Atomic(uintptr_t) begin, end;
    atomic_int broken;
    atomic_int taken;
};

static mapping slots[SLOTS];
static uintptr_t page_mask;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of these two */
static size_t users;
static struct sigaction previous;

static void pass_on(int number, siginfo_t *info, void *context)
{
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler == SIG_IGN && info->si_code <= 0) {
        return; /* sent by a process; a fault cannot be ignored */
    } else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
        (void)signal(number, SIG_DFL);
        (void)raise(number); /* waits until this handler has returned */
    } else {
        previous.sa_handler(number);
    }
}

static void set_range(mapping *m, uintptr_t begin, uintptr_t end)
{
    (void)atomic_fetch_add(&m->version, 1);
    atomic_store(&m->begin, begin);
    atomic_store(&m->end, end);
    (void)atomic_fetch_add(&m->version, 1);
}

/* The end of a range that an address lies in; 0 if it lies elsewhere, or the range changes now: no
 * thread reads what is being unmapped. */
static uintptr_t end_around(mapping *m, uintptr_t at)
{
    unsigned version = atomic_load(&m->version);
    uintptr_t begin = atomic_load(&m->begin), end = atomic_load(&m->end);
    if (version % 2 || atomic_load(&m->version) != version)
        return 0;
    return at >= begin && at < end ? end : 0;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    int code = errno;
    uintptr_t at = (uintptr_t)info->si_addr;
    for (size_t i = 0; info->si_code == BUS_ADRERR && i < SLOTS; i++) {
        mapping *m = &slots[i];
        uintptr_t end = end_around(m, at);
        if (!end)
            continue;
        uintptr_t page = at & page_mask;
        if (mmap((void *)page, end - page, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            break;
        atomic_store(&m->broken, 1);
        errno = code;
        return;
    }
    errno = code;
    pass_on(number, info, context);
}

static void watch(void)
{
    struct sigaction ours;
    (void)pthread_mutex_lock(&lock);
    if (users++ == 0) {
        page_mask = ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
        memset(&ours, 0, sizeof ours);
        ours.sa_sigaction = on_sigbus;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
        (void)sigaction(SIGBUS, &ours, &previous);
    }
    (void)pthread_mutex_unlock(&lock);
}

/* A handler that was set meanwhile stays, and may know ours as the one before it. */
static void unwatch(void)
{
    struct sigaction now;
    (void)pthread_mutex_lock(&lock);
    if (--users == 0 && sigaction(SIGBUS, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
        now.sa_sigaction == on_sigbus)
        (void)sigaction(SIGBUS, &previous, NULL);
    (void)pthread_mutex_unlock(&lock);
}

mapping *mapping_begin(void)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (!atomic_exchange(&slots[i].taken, 1)) {
            watch();
            return &slots[i];
        }
    return NULL;
}

void mapping_end(mapping *m)
{
    mapping_unmap(m);
    unwatch();
    atomic_store(&m->taken, 0);
}

void mapping_renew(mapping *m) { atomic_store(&m->broken, 0); }

void mapping_unmap(mapping *m)
{
    uintptr_t begin = atomic_load(&m->begin), end = atomic_load(&m->end);
    set_range(m, 0, 0);
    if (end)
        (void)munmap((void *)begin, end - begin);
}

uint8_t *mapping_map(mapping *m, int file, uint64_t offset, size_t length)
{
    mapping_unmap(m);
    void *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, (off_t)offset);
    if (map == MAP_FAILED)
        return NULL;
    set_range(m, (uintptr_t)map, (uintptr_t)map + length);
    return map;
}

int mapping_broken(const mapping *m) { return atomic_load(&((mapping *)m)->broken); }

/* Several threads walk one tree. What is to be done lies on a stack of tasks, so that a directory's
 * entries are done before its siblings', about in the order of the NAR; the last of its tasks
 * finishes a directory. Threads join when there is work for them. */
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPEN_NODES 64 /* directories held open at once, each with its target's: one that is listed
                       * while there are so many is walked in order, by one thread */
#define MOST_THREADS 8 /* each may hold some 36 more descriptors open; memory is busy sooner */
#define TASK_ENTRIES 16 /* entries of a task, unless they are directories */
#define THREAD_ENTRIES 64 /* entries that wait, for which starting a thread pays */
#define IDLE 50000000 /* ns between two looks of an idle thread for signals */

typedef struct node node;

/* A directory on whose entries threads work. */
struct node {
    node *parent;
    directory d;
    atomic_size_t pending;      /* tasks not done; directories among the entries count until they
                                 * are finished */
    char *old_path, *new_path;
    size_t old_length, new_length;
};

typedef struct {
    node *in;
    size_t first, count;
} task;

typedef struct {
    walk walk;
    graft_tree_report report;
    pthread_t thread;
} worker;

struct pool {
    pthread_mutex_t lock; /* of all below but failed */
    pthread_cond_t changed;
    task *tasks;
    size_t count, capacity;
    size_t waiting; /* entries in the tasks */
    size_t open;    /* nodes */
    int done;
    atomic_int failed;
    graft_tree_report error; /* of the entry that is the first in the order of the NAR by now */
    char *error_path; /* its path, in the result's names; NULL: nothing more is to be done */
    worker *workers;
    size_t started, limit;
    const walk *first;
    int link; /* as the first walk had it when it began */
};

/* ---- errors ------------------------------------------------------------------------------- */

int pool_gave_up(walk *w)
{
    pool *p = w->pool;
    if (!atomic_load(&p->failed))
        return 0;
    (void)pthread_mutex_lock(&p->lock);
    int beyond = !p->error_path || path_order(w->new_path.bytes, p->error_path) >= 0;
    (void)pthread_mutex_unlock(&p->lock);
    return beyond;
}

/* Takes a walk's error away from it, and keeps it if it is the first. A walk that was told to give
 * up has none. */
static void give_up(walk *w)
{
    pool *p = w->pool;
    graft_tree_report *r = w->report;
    const char *path = w->new_path.bytes ? w->new_path.bytes : "";
    int stopped = r->error == GRAFT_TREE_STOPPED;
    (void)pthread_mutex_lock(&p->lock);
    if (r->error && (!p->error.error || stopped ||
                     (p->error_path && path_order(path, p->error_path) < 0))) {
        free(p->error.file);
        free(p->error_path);
        p->error = *r;
        p->error_path = stopped ? NULL : strdup(path);
        r->file = NULL;
        atomic_store(&p->failed, 1);
    }
    (void)pthread_mutex_unlock(&p->lock);
    free(r->file);
    r->file = NULL;
    r->error = GRAFT_TREE_OK;
}

/* ---- tasks -------------------------------------------------------------------------------- */

static void *help(void *argument);

/* Called with the lock held. Signals are for the threads of the caller, which know what to do. */
static void start_thread(pool *p)
{
    sigset_t all, before;
    worker *one = &p->workers[p->started];
    walk_begin(&one->walk, p->first->job, &one->report);
    one->walk.top = p->first->top;
    one->walk.twins = p->first->twins;
    one->walk.pool = p;
    one->walk.link = p->link;
    one->report.begun = p->first->report->begun;
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGBUS); /* sent by a fault, which may be one of mapping.c */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&one->thread, NULL, help, one) == 0)
        p->started++;
    else
        p->limit = p->started; /* fewer do as well */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void pool_grow(walk *w)
{
    pool *p = w->pool;
    (void)pthread_mutex_lock(&p->lock);
    if (p->count && p->started < p->limit)
        start_thread(p);
    (void)pthread_mutex_unlock(&p->lock);
}

/* Waits for a task; 0 if there will be none. */
static int take(walk *w, task *t)
{
    pool *p = w->pool;
    (void)pthread_mutex_lock(&p->lock);
    while (!p->count && !p->done) {
        struct timespec until;
        if (!w->polls || p->error.error == GRAFT_TREE_STOPPED) {
            (void)pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += IDLE;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_cond_timedwait(&p->changed, &p->lock, &until) == ETIMEDOUT && w->job->poll) {
            (void)pthread_mutex_unlock(&p->lock);
            if (w->job->poll(w->job->context)) {
                (void)fail(w, GRAFT_TREE_STOPPED, "", 0);
                give_up(w);
            }
            (void)pthread_mutex_lock(&p->lock);
        }
    }
    int got = p->count > 0;
    if (got) {
        *t = p->tasks[--p->count];
        p->waiting -= t->count;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return got;
}

/* ---- directories -------------------------------------------------------------------------- */

static int take_paths(walk *w, const node *n)
{
    w->old_path.length = w->new_path.length = 0;
    return append(w, &w->old_path, n->old_path, n->old_length) ||
                   append(w, &w->new_path, n->new_path, n->new_length)
               ? -1
               : 0;
}

static void close_node(pool *p, node *n)
{
    directory_close(&n->d);
    directory_free(&n->d);
    free(n->old_path);
    free(n->new_path);
    (void)pthread_mutex_lock(&p->lock);
    p->open--;
    if (!n->parent) {
        p->done = 1;
        (void)pthread_cond_broadcast(&p->changed);
    }
    (void)pthread_mutex_unlock(&p->lock);
    free(n);
}

/* A task of a directory is done; the last one finishes it, which is one less of its parent's. */
static void task_done(walk *w, node *n)
{
    while (n && atomic_fetch_sub(&n->pending, 1) == 1) {
        node *parent = n->parent;
        if (!atomic_load(&w->pool->failed) &&
            (take_paths(w, n) || directory_finish(w, &n->d) || (parent && nar_entry_end(w))))
            give_up(w);
        close_node(w->pool, n);
        n = parent;
    }
}

static int lone(const entry *e) { return e->type != DT_REG && e->type != DT_LNK; }

/* Divides a directory's entries into tasks, the next to be done last; from then on the directory
 * may be done with, and gone, at any time. */
static int push(walk *w, node *n, node *parent)
{
    pool *p = w->pool;
    const directory *d = &n->d;
    size_t most = d->count / 8 < 1 ? 1 : d->count / 8 < TASK_ENTRIES ? d->count / 8 : TASK_ENTRIES;
    size_t tasks = 0;
    (void)pthread_mutex_lock(&p->lock);
    task *room = grown(p->tasks, &p->capacity, p->count + d->count + 1, sizeof *room);
    if (!room) {
        (void)pthread_mutex_unlock(&p->lock);
        return fail_memory(w);
    }
    p->tasks = room;
    n->parent = parent;
    for (size_t last = d->count; last > 0; tasks++) {
        size_t first = last - 1;
        if (!lone(&d->entries[first]))
            while (first > 0 && last - first < most && !lone(&d->entries[first - 1]))
                first--;
        p->tasks[p->count++] = (task){n, first, last - first};
        last = first;
    }
    atomic_store(&n->pending, tasks ? tasks : 1);
    p->waiting += d->count;
    if (p->waiting >= THREAD_ENTRIES && p->started < p->limit)
        start_thread(p);
    if (tasks > 1)
        (void)pthread_cond_broadcast(&p->changed);
    (void)pthread_mutex_unlock(&p->lock);
    if (!tasks)
        task_done(w, n);
    return 0;
}

/* 1 if a directory is now walked as a node, 0 if it has been walked in order. */
static int enter(walk *w, node *parent, const place *from, const place *to)
{
    pool *p = w->pool;
    (void)pthread_mutex_lock(&p->lock);
    int full = p->open == OPEN_NODES;
    p->open += !full;
    (void)pthread_mutex_unlock(&p->lock);
    if (full)
        return levels_walk(w, from, to) || nar_entry_end(w) ? -1 : 0;
    node *n = calloc(1, sizeof *n);
    if (!n) {
        (void)pthread_mutex_lock(&p->lock);
        p->open--;
        (void)pthread_mutex_unlock(&p->lock);
        return fail_memory(w);
    }
    n->d.source = n->d.target = -1;
    n->old_length = w->old_path.length;
    n->new_length = w->new_path.length;
    n->old_path = strdup(w->old_path.bytes);
    n->new_path = strdup(w->new_path.bytes);
    if (!n->old_path || !n->new_path)
        (void)fail_memory(w);
    else if (!directory_open(w, &n->d, from, to) && !push(w, n, parent))
        return 1;
    n->parent = n; /* nobody waits for what was not begun */
    close_node(p, n);
    return -1;
}

/* 1 if the entry is a directory that is walked on as a node. */
static int visit(walk *w, node *n, const entry *e)
{
    size_t length = strlen(e->new_name);
    place from = {n->d.source, e->old_name}, to = {n->d.target, e->new_name};
    const place *there = n->d.target >= 0 ? &to : NULL;
    uint8_t type = e->type;
    w->found_file = NULL;
    if (set_path(w, &w->old_path, n->old_length, e->old_name) ||
        set_path(w, &w->new_path, n->new_length, e->new_name))
        return -1;
    if (pool_gave_up(w))
        return 0;
    if (worked(w, ENTRY_EFFORT) || nar_entry(w, e->new_name, length) ||
        search_text(w, e->new_name, length, GRAFT_IN_NAME) || know_type(w, &from, &type))
        return -1;
    if (type == DT_DIR)
        return enter(w, n, &from, there);
    return leaf(w, &from, there, type) || nar_entry_end(w) ? -1 : 0;
}

static void work(walk *w)
{
    task t;
    while (take(w, &t)) {
        int entered = 0;
        if (take_paths(w, t.in))
            give_up(w);
        else
            for (size_t i = 0; i < t.count; i++) {
                entered = visit(w, t.in, &t.in->d.entries[t.first + i]);
                if (entered < 0)
                    give_up(w);
            }
        if (entered != 1)
            task_done(w, t.in);
    }
}

static void *help(void *argument)
{
    work(&((worker *)argument)->walk);
    return NULL;
}

/* ---- all of them -------------------------------------------------------------------------- */

/* The other threads' reports into the first one's, and the error that counts. */
static int gather(walk *w, pool *p)
{
    graft_tree_report *r = w->report;
    int short_of_memory = 0;
    for (size_t i = 0; i < p->started; i++) {
        short_of_memory |= add_report(r, &p->workers[i].report);
        graft_tree_report_free(&p->workers[i].report);
        walk_end(&p->workers[i].walk);
    }
    if (p->error.error) {
        r->error = p->error.error;
        r->code = p->error.code;
        r->call = p->error.call;
        r->file = p->error.file;
        r->in_target = p->error.in_target;
        return -1;
    }
    return short_of_memory || sort_found(r) ? fail_memory(w) : 0;
}

int pool_walk(walk *w, const place *from, const place *to)
{
    size_t threads = w->job->threads < MOST_THREADS ? w->job->threads : MOST_THREADS;
    pool p = {.first = w, .limit = threads - 1, .link = w->link};
    p.workers = calloc(p.limit, sizeof *p.workers);
    if (!p.workers)
        return fail_memory(w);
    (void)pthread_mutex_init(&p.lock, NULL); /* cannot fail with these attributes, nor can that */
    (void)pthread_cond_init(&p.changed, NULL);
    w->pool = &p;
    if (enter(w, NULL, from, to) < 0)
        give_up(w);
    else
        work(w);
    for (size_t i = 0; i < p.started; i++)
        (void)pthread_join(p.workers[i].thread, NULL);
    int result = gather(w, &p);
    w->pool = NULL;
    free(p.tasks);
    free(p.workers);
    free(p.error_path);
    (void)pthread_cond_destroy(&p.changed);
    (void)pthread_mutex_destroy(&p.lock);
    return result;
}

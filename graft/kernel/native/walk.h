/* What the parts of a walk share: its state, and what each part does for the others. Functions that
 * return an int return 0, or -1 after they have noted the error in the report. */
#ifndef GRAFT_WALK_H
#define GRAFT_WALK_H

#define _FILE_OFFSET_BITS 64 /* files may be larger than memory; so this comes before the system's */

#include <sys/stat.h>

#include "density.h"
#include "mapping.h"
#include "tree.h"

typedef struct {
    char *bytes;
    size_t length, capacity; /* the NUL at the end is not in the length */
} text;

typedef struct {
    dev_t device;
    ino_t inode;
} identity;

/* An entry by its directory and name; the directory is AT_FDCWD for the tree's top. */
typedef struct {
    int directory;
    const char *name;
} place;

typedef struct {
    uint64_t references, bare, overlapped;
} tally;

typedef struct {
    size_t old_at, new_at; /* in the directory's names, which move while they grow */
    const char *old_name, *new_name;
    uint8_t type; /* DT_REG and so on; DT_UNKNOWN where the file system does not say */
} entry;

/* An open directory and its entries, in the order of their new names. */
typedef struct {
    int source, target; /* descriptors; -1 while closed, the target's also if nothing is written */
    text names;
    entry *entries;
    size_t count, capacity;
} directory;

/* A file's contents as the words of suspicions are looked for in them. */
typedef struct {
    int begun;
    uint64_t passed;                 /* bytes */
    uint64_t next[GRAFT_SUSPICIONS]; /* where a word may stand; UINT64_MAX: nobody asks any more */
    uint8_t carry[GRAFT_ANCHOR - 1]; /* the last bytes that passed, */
    size_t carried;                  /* this many */
    int mostly;                      /* dense for the most part, or not at all */
    graft_density density;
} watch;

typedef struct {
    const place *from, *to;
    int source, target; /* descriptors; the target's is -1 until there is something to write */
    struct stat status; /* of the source */
    tally hits;
    int marked; /* was looked at for marks */
    int reported; /* is among the marked files */
    watch watch;
    int whole; /* walk.buffer begins with the whole of the contents */
} file;

typedef struct level level;
typedef struct twins twins;
typedef struct pool pool;

/* One thread's. */
typedef struct {
    const graft_tree_job *job;
    graft_tree_report *report;
    const graft_table *table, *wanted; /* NULL for empty ones */
    int top;                           /* the target's top directory, -1 if there is none */
    level *levels;
    size_t depth, level_capacity;
    size_t outermost; /* the levels from here to the innermost are open, and so is level 0 */
    text old_path, new_path; /* of the entry in hand */
    char *found_file; /* new_path as the hits of this entry share it, or NULL */
    uint8_t *buffer, *batch, *listing, *spare;
    size_t batched;
    graft_hits hits;
    mapping *mapping; /* NULL until a file is mapped */
    twins *twins; /* of all threads */
    pool *pool;   /* of all threads; NULL where there is only this one */
    int polls;    /* this is the thread that may call job->poll */
    uint64_t effort;
    int link, reflink; /* until the file system says it cannot */
    int set_owner;
} walk;

/* ---- walk.c: errors, memory, paths -------------------------------------------------------- */

int fail(walk *w, enum graft_tree_error error, const char *call, int in_target);
int fail_source(walk *w, const char *call); /* by errno */
int fail_target(walk *w, const char *call);
int fail_memory(walk *w);

/* Room for `count` items of `size` bytes: the list, moved perhaps, or NULL. */
void *grown(void *list, size_t *capacity, size_t count, size_t size);
int append(walk *w, text *t, const char *bytes, size_t length);

/* Makes a path that of `name` in the directory whose own path has `length` bytes. */
int set_path(walk *w, text *path, size_t length, const char *name);

/* Allocates a buffer that is not there yet. */
int need(walk *w, uint8_t **buffer, size_t size);

#define ENTRY_EFFORT 32768 /* an entry's worth in bytes read */

/* Notes work done; now and then lets the caller stop the walk, and other threads join it. Fails
 * without an error where the walk is given up for another thread's. */
int worked(walk *w, uint64_t effort);

static inline int same(identity one, identity other)
{
    return one.device == other.device && one.inode == other.inode;
}

/* ---- nar.c: the NAR, to the sink if there is one, else only its size ------------------------ */

int nar_begin(walk *w);
int nar_flush(walk *w); /* hands over what is batched */
int nar_entry(walk *w, const char *name, size_t length);
int nar_entry_end(walk *w);
int nar_directory(walk *w);
int nar_directory_end(walk *w);
int nar_symlink(walk *w, const char *target, size_t length);
int nar_regular(walk *w, uint64_t size, int executable);
int nar_contents(walk *w, const uint8_t *bytes, size_t length);
int nar_regular_end(walk *w, uint64_t size);

/* ---- hits.c: hits, counted and listed --------------------------------------------------- */

/* Puts the hits of a table into w->hits. */
int find(walk *w, const graft_table *table, const uint8_t *bytes, size_t length, int final,
         size_t *cut);

/* Counts the hits found last; nonzero if one of them is to be rewritten. */
size_t count_hits(walk *w, tally *hits);
void add_tally(walk *w, const tally *hits);

/* Searches settled bytes of the result for what is wanted; `base` is the offset of the first. */
int search(walk *w, const uint8_t *bytes, size_t length, int final, enum graft_where where,
           uint64_t base, size_t *cut);

/* The same for a name or a symlink's target, whole. */
int search_text(walk *w, const char *bytes, size_t length, enum graft_where where);

/* Rewrites a name or a symlink's target in place; *changed says whether it had hits. */
int rewrite_text(walk *w, char *bytes, size_t length, int *changed);

/* Adds what another thread has seen to a report, and takes it from there. */
int add_report(graft_tree_report *to, graft_tree_report *from);

/* Puts `found` into the order of the NAR. */
int sort_found(graft_tree_report *report);

/* Less than, equal to or greater than 0 as the NAR's order of two paths is. */
int path_order(const char *one, const char *other);

/* ---- marks.c: files that are to be reported ------------------------------------------------ */

/* Reports a file if it has one of the job's marks. The bytes are its first ones, as they were, and
 * may be fewer than are needed. */
int mark(walk *w, file *f, const uint8_t *bytes, size_t length);

/* Reports a file in which references were rewritten, unless it has been. */
int mark_changed(walk *w, file *f);

/* Adds what another thread has reported, and takes it from there. */
int add_marked(graft_tree_report *to, graft_tree_report *from);
void free_marked(graft_tree_report *report);

/* ---- suspects.c: what words of suspicions stand in ------------------------------------------ */

/* Begins a file, whose first bytes these are as they were; they may be fewer than are needed. */
int watch_begin(walk *w, file *f, const uint8_t *bytes, size_t length);

/* Looks through the bytes of the result that come next. */
int watch_more(walk *w, file *f, const uint8_t *bytes, size_t length);

/* The same for a name or a symlink's target, whole. */
int suspect_text(walk *w, const char *bytes, size_t length, enum graft_where where);

/* Adds what another thread has found, and takes it from there. */
int add_suspects(graft_tree_report *to, graft_tree_report *from);
void free_suspects(graft_tree_report *report);

/* ---- making.c: things made at the target -------------------------------------------------- */

extern const struct timespec mtime_1[2];

/* Notes that the target exists. A default ACL of the directory it lies in was inherited, and
 * would be by everything below; ACLs have no place in a store. */
void begun(walk *w, int target);

/* Gives a made file or directory its metadata and closes it, whatever happens. */
int finish(walk *w, int target, mode_t mode);
int write_all(walk *w, int target, const uint8_t *bytes, size_t length);

/* Copies the first `size` bytes of a file into an empty one. */
int copy_bytes(walk *w, int source, int target, uint64_t size);

/* On overlayfs a hard link to a file of a lower layer copies the whole file up first. 1 if so. */
int is_overlay(walk *w, const char *target);

/* ---- twins.c: hard links inside the tree -------------------------------------------------- */

twins *twins_new(void); /* NULL: memory is short */
void twins_free(twins *t);

/* Between these two, no other thread makes or links a file that is the same as this one. */
void twins_lock(walk *w, identity original);
void twins_unlock(walk *w, identity original);

/* Links `to` to the file that was made from a hard link of this one; *hits are then those it has.
 * 1 if it did; 0 if there is none or it cannot be linked, which is reason to make one more. */
int twins_link(const walk *w, identity original, const place *to, tally *hits);

/* Notes the file in hand as one to link to. */
int twins_remember(walk *w, identity original, const tally *hits);

/* ---- regular.c, leaf.c: files and symlinks ------------------------------------------------ */

int regular(walk *w, const place *from, const place *to);

/* Sees to it that the type of an entry is known. */
int know_type(walk *w, const place *from, uint8_t *type);

/* Anything but a directory. */
int leaf(walk *w, const place *from, const place *to, uint8_t type);

/* ---- directory.c, levels.c, pool.c: one, in order, in any order ---------------------------- */

/* Opens a directory, makes its target's if `to` is not NULL, and lists it in the order of its NAR.
 * On an error too, directory_close is to be called. The lists may be those of another before. */
int directory_open(walk *w, directory *d, const place *from, const place *to);
int directory_finish(walk *w, directory *d); /* gives the made one its metadata, closes both */
void directory_close(directory *d);
void directory_free(directory *d);

/* Walks a directory, and everything in it, in the order of the NAR. */
int levels_walk(walk *w, const place *from, const place *to);
void levels_free(walk *w);

/* The same in any order, by up to job->threads threads. */
int pool_walk(walk *w, const place *from, const place *to);

/* Whether the entry in hand need not be walked any more, for one before it has failed. */
int pool_gave_up(walk *w);

/* Lets one more thread join if there is work for it. */
void pool_grow(walk *w);

/* A walk of one more thread. */
void walk_begin(walk *w, const graft_tree_job *job, graft_tree_report *report);
void walk_end(walk *w);

#endif

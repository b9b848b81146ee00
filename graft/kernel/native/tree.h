/* One directory tree: walked in the order of its NAR, or by several threads where nobody listens to
 * the NAR; copied, patched, hashed and searched in one pass. Every path is opened relative to its
 * directory's descriptor, no symlink is followed. Knows no Python; its specification is the pure
 * twin in graft/kernel/tree/walk.py.
 */
#ifndef GRAFT_TREE_H
#define GRAFT_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "anchors.h"
#include "match.h"

/* Receives the bytes of the NAR in order, 64 KiB or more at a time (but before a large file's
 * contents and at the end). Nonzero stops the walk with GRAFT_TREE_STOPPED. */
typedef int (*graft_sink)(void *context, const uint8_t *bytes, size_t length);

/* Called now and then, by the thread that called graft_tree. Nonzero stops the walk with GRAFT_TREE_STOPPED. */
typedef int (*graft_poll)(void *context);

/* Where bytes are; and, of a suspect only, that a stream begins in the contents, or that they are
 * dense. */
enum graft_where {
    GRAFT_IN_CONTENTS,
    GRAFT_IN_TARGET,
    GRAFT_IN_NAME,
    GRAFT_IN_STREAMS,
    GRAFT_IN_DENSITY
};

typedef struct {
    char *file;      /* relative to the tree's top, "" for the top itself; in the result's names;
                      * all of one file share one string */
    uint64_t offset; /* in the result's contents, target or name, in bytes */
    uint32_t index;  /* of the entry in `wanted` */
    uint8_t stride;
    uint8_t where;
} graft_found;

#define GRAFT_HEAD 2048 /* bytes of a file in which its magics are */

typedef struct {
    size_t offset, length; /* offset + length <= GRAFT_HEAD, length > 0 */
    const uint8_t *bytes;
} graft_magic;

typedef struct {
    const char *text;
    size_t length;
    int whole; /* the name is that; else it ends with it */
} graft_name_mark;

/* By what a regular file is to be reported: one of these. */
typedef struct {
    const graft_magic *magics;
    const graft_name_mark *names;
    size_t magic_count, name_count;
    size_t head; /* as many bytes hold all of the magics */
} graft_marks;

#define GRAFT_SUSPICIONS 6

/* Words by which contents, targets and names are suspected of something longer; or, without words,
 * beginnings of streams in contents, or dense contents. */
typedef struct {
    const graft_anchors *anchors; /* NULL: streams, or density */
    int density;                  /* whether it is that; the magics are of files that must be
                                   * dense for the most part */
    size_t step; /* words are looked for at 0, step, 2 * step... of the contents, target or name */
    const graft_magic *magics; /* if there are any: only contents count that begin with one */
    size_t magic_count;        /* at offset 0, and of GRAFT_ANCHOR bytes at most */
} graft_suspicion;

/* Whether contents that begin so count. */
int graft_suspicion_is_of(const graft_suspicion *s, const uint8_t *head, size_t length);

typedef struct {
    char *file; /* as in graft_found, but its own string */
    uint8_t where;
} graft_suspect;

typedef struct {
    const char *source;        /* the tree's top; without a slash at its end */
    const char *target;        /* must not exist; NULL: nothing is written */
    const graft_table *table;  /* what to rewrite, or NULL; every entry has its new_base */
    const graft_table *wanted; /* what to look for in the result's bytes, or NULL */
    graft_sink sink;           /* NULL: no NAR is made */
    graft_poll poll;           /* or NULL */
    void *context;             /* of both */
    const graft_marks *marks;  /* or NULL */
    const graft_suspicion *suspicions; /* of the result's bytes */
    size_t suspicion_count;    /* at most GRAFT_SUSPICIONS */
    int report;                /* fill `found`; else only `seen` */
    int links;                 /* unchanged canonical files become hard links, unless on overlayfs */
    int reflinks;              /* unchanged files may share blocks (FICLONE) */
    uid_t owner;               /* of what is created, and of what counts as canonical */
    gid_t group;
    size_t window;             /* bytes read at a time, at least 1 */
    size_t map_window;         /* bytes mapped at a time, at least 1; rounded up to pages */
    uint64_t map_from;         /* files of this size and more are mapped, not read, */
    uint64_t threads_map_from; /* and where threads walk together, of this one */
    size_t threads;            /* that walk, at least 1; with a sink it is one whatever this is */
    uint8_t *seen;             /* graft_table_count(wanted) bytes, set to 1 for each entry found */
} graft_tree_job;

enum graft_tree_error {
    GRAFT_TREE_OK,
    GRAFT_TREE_SYSTEM,      /* `code` is errno, `call` the system call */
    GRAFT_TREE_UNSUPPORTED, /* a device, pipe or socket */
    GRAFT_TREE_COLLISION,   /* two names became equal */
    GRAFT_TREE_CHANGED,     /* a file's size is not what it was when it was opened, or a directory
                             * was moved while the walk was in it */
    GRAFT_TREE_MEMORY,
    GRAFT_TREE_STOPPED
};

typedef struct {
    uint64_t nar_size; /* bytes handed to the sink, or that would have been */
    uint64_t patched, linked, reflinked, copied; /* regular files, by how they were made */
    uint64_t directories, symlinks, files;
    uint64_t bytes_read;    /* contents */
    uint64_t bytes_written; /* of patched and copied files */
    uint64_t bytes_shared;  /* of linked and reflinked files */
    uint64_t references, bare, overlapped; /* hits of `table`: rewritten; of these, without their
                                            * name; left alone */
    graft_found *found; /* in the order of the NAR, of one file in ascending order of offset */
    size_t found_count, found_capacity;
    char **marked; /* the files that have one of the marks, relative to the top, in old names */
    size_t marked_count, marked_capacity;
    graft_suspect *suspects; /* where a word of a suspicion stands, each place once */
    size_t suspects_count, suspects_capacity;
    enum graft_tree_error error;
    int code;         /* of the first entry that failed, in the order of the NAR */
    const char *call;
    char *file;    /* the entry the error is about, relative to the top; NULL: memory was short */
    int in_target; /* that entry is the target's, and `file` in the result's names */
    int begun;     /* something was made at `target`, which is the caller's to remove on an error */
} graft_tree_report;

/* Does the job. Returns report->error. */
int graft_tree(const graft_tree_job *job, graft_tree_report *report);
void graft_tree_report_free(graft_tree_report *report);

/* Writes everything on the path's file system to the disk (syncfs). 0, or errno. */
int graft_syncfs(const char *path);

#endif

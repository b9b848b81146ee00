#define _FILE_OFFSET_BITS 64 /* files may be larger than memory */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Directories are held open for this many innermost levels, and for the top: with the target's,
 * some 32 descriptors. A level further out is closed, and found again through "..". */
#define OPEN_LEVELS 15

#define BATCH 65536 /* bytes of NAR worth a call of the sink */
#define KERNEL_COPY (64u << 20) /* bytes the kernel is asked to copy at a time */
#define SPARE 131072 /* bytes copied at a time where it does not */
#define LISTING 32768 /* bytes of directory entries asked for at a time */
#define POLL_EFFORT (16u << 20) /* bytes read, or their worth in entries, between two polls */
#define ENTRY_EFFORT 32768 /* an entry's worth in bytes read */
#define OVERLAYFS 0x794c7630 /* f_type; linux/magic.h names it only in recent headers */

typedef struct {
    char *bytes;
    size_t length, capacity; /* the NUL at the end is not in the length */
} text;

/* What getdents64 gives: include/linux/dirent.h. */
typedef struct {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
} listed;

typedef struct {
    size_t old_at, new_at; /* in the directory's names, which move while they grow */
    const char *old_name, *new_name;
    uint8_t type;
} entry;

typedef struct {
    dev_t device;
    ino_t inode;
} identity;

typedef struct {
    int source, target; /* descriptors, -1 while closed */
    identity source_is, target_is; /* known while closed */
    text names;
    entry *entries;
    size_t count, capacity, next;
    size_t old_length, new_length; /* of the paths of the directory itself */
} level;

/* An entry by its directory and name; the directory is AT_FDCWD for the tree's top. */
typedef struct {
    int directory;
    const char *name;
} place;

typedef struct {
    uint64_t references, bare, overlapped;
} tally;

/* A made file whose original has further hard links: these become links to it. */
typedef struct {
    identity original;
    char *path; /* NULL: an empty slot */
    tally hits;
} twin;

typedef struct {
    const graft_tree_job *job;
    graft_tree_report *report;
    const graft_table *table, *wanted; /* NULL for empty ones */
    level *levels;
    size_t depth, level_capacity;
    size_t outermost; /* the levels from here to the innermost are open, and so is level 0 */
    text old_path, new_path; /* of the entry in hand */
    char *found_file; /* new_path as the hits of this entry share it, or NULL */
    uint8_t *buffer, *batch, *listing, *spare;
    size_t batched;
    graft_hits hits;
    twin *twins;
    size_t twin_count, twin_capacity;
    uint64_t effort;
    int link, reflink; /* until the file system says it cannot */
    int set_owner;
} walk;

/* ---- errors and memory -------------------------------------------------------------------- */

static int fail(walk *w, enum graft_tree_error error, const char *call, int in_target)
{
    graft_tree_report *r = w->report;
    r->code = error == GRAFT_TREE_SYSTEM ? errno : 0;
    r->error = error;
    r->call = call;
    r->in_target = in_target;
    free(r->file);
    const char *path = (in_target ? &w->new_path : &w->old_path)->bytes;
    r->file = path ? strdup(path) : NULL;
    return -1;
}

static int fail_source(walk *w, const char *call) { return fail(w, GRAFT_TREE_SYSTEM, call, 0); }
static int fail_target(walk *w, const char *call) { return fail(w, GRAFT_TREE_SYSTEM, call, 1); }
static int fail_memory(walk *w) { return fail(w, GRAFT_TREE_MEMORY, "malloc", 0); }

/* Room for `count` items of `size` bytes: the list, moved perhaps, or NULL. */
static void *grown(void *list, size_t *capacity, size_t count, size_t size)
{
    if (count <= *capacity)
        return list;
    size_t wider = *capacity ? *capacity : 16;
    while (wider < count) {
        if (wider > SIZE_MAX / 2 / size)
            return NULL;
        wider *= 2;
    }
    void *moved = realloc(list, wider * size);
    if (moved)
        *capacity = wider;
    return moved;
}

static int append(walk *w, text *t, const char *bytes, size_t length)
{
    char *room = grown(t->bytes, &t->capacity, t->length + length + 1, 1);
    if (!room)
        return fail_memory(w);
    t->bytes = room;
    memcpy(t->bytes + t->length, bytes, length);
    t->length += length;
    t->bytes[t->length] = 0;
    return 0;
}

/* Makes a path that of `name` in the directory whose own path has `length` bytes. */
static int set_path(walk *w, text *path, size_t length, const char *name)
{
    path->length = length;
    if (length && append(w, path, "/", 1))
        return -1;
    return append(w, path, name, strlen(name));
}

static int need(walk *w, uint8_t **buffer, size_t size)
{
    if (!*buffer && !(*buffer = malloc(size)))
        return fail_memory(w);
    return 0;
}

static int same(identity one, identity other)
{
    return one.device == other.device && one.inode == other.inode;
}

/* ---- the NAR ------------------------------------------------------------------------------ */

static int hand_over(walk *w, const uint8_t *bytes, size_t length)
{
    if (w->job->sink(w->job->context, bytes, length))
        return fail(w, GRAFT_TREE_STOPPED, "", 0);
    return 0;
}

static int flush(walk *w)
{
    size_t length = w->batched;
    w->batched = 0;
    return length ? hand_over(w, w->batch, length) : 0;
}

/* Fewer than BATCH bytes wait at any time, and fewer are added: the buffer holds twice that. */
static int emit(walk *w, const void *bytes, size_t length)
{
    w->report->nar_size += length;
    if (!w->job->sink)
        return 0;
    if (length >= BATCH)
        return flush(w) || hand_over(w, bytes, length) ? -1 : 0;
    if (need(w, &w->batch, 2 * BATCH))
        return -1;
    memcpy(w->batch + w->batched, bytes, length);
    w->batched += length;
    return w->batched >= BATCH ? flush(w) : 0;
}

static int emit_number(walk *w, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> 8 * i);
    return emit(w, bytes, sizeof bytes);
}

static int emit_padding(walk *w, uint64_t length)
{
    static const uint8_t zeros[8];
    return emit(w, zeros, (size_t)(-length & 7));
}

static int emit_string(walk *w, const void *bytes, size_t length)
{
    return emit_number(w, length) || emit(w, bytes, length) || emit_padding(w, length) ? -1 : 0;
}

/* Strings, up to a NULL. */
static int emit_strings(walk *w, const char *const *strings)
{
    for (; *strings; strings++)
        if (emit_string(w, *strings, strlen(*strings)))
            return -1;
    return 0;
}

#define EMIT(w, ...) emit_strings(w, (const char *const[]){__VA_ARGS__, NULL})

static int poll_caller(walk *w)
{
    if (!w->job->poll || w->effort < POLL_EFFORT)
        return 0;
    w->effort = 0;
    return w->job->poll(w->job->context) ? fail(w, GRAFT_TREE_STOPPED, "", 0) : 0;
}

/* ---- searching and rewriting -------------------------------------------------------------- */

static int find(walk *w, const graft_table *table, const uint8_t *bytes, size_t length, int final,
                size_t *cut)
{
    w->hits.count = 0;
    *cut = graft_find(table, bytes, length, final, &w->hits);
    return *cut == (size_t)-1 ? fail_memory(w) : 0;
}

/* Counts the hits found last; nonzero if one of them is to be rewritten. */
static size_t count_hits(walk *w, tally *hits)
{
    size_t rewritten = 0;
    for (size_t i = 0; i < w->hits.count; i++) {
        const graft_hit *hit = &w->hits.items[i];
        if (hit->overlapped) {
            hits->overlapped++;
        } else {
            rewritten++;
            hits->bare += hit->bare;
        }
    }
    hits->references += rewritten;
    return rewritten;
}

static void add_tally(walk *w, const tally *hits)
{
    w->report->references += hits->references;
    w->report->bare += hits->bare;
    w->report->overlapped += hits->overlapped;
}

/* Searches settled bytes of the result for what is wanted; `base` is the offset of the first. */
static int search(walk *w, const uint8_t *bytes, size_t length, int final, enum graft_where where,
                  uint64_t base, size_t *cut)
{
    if (find(w, w->wanted, bytes, length, final, cut))
        return -1;
    graft_tree_report *r = w->report;
    for (size_t i = 0; i < w->hits.count; i++) {
        const graft_hit *hit = &w->hits.items[i];
        w->job->seen[hit->index] = 1;
        if (!w->job->report)
            continue;
        graft_found *room =
            grown(r->found, &r->found_capacity, r->found_count + 1, sizeof *r->found);
        if (!room)
            return fail_memory(w);
        r->found = room;
        if (!w->found_file && !(w->found_file = strdup(w->new_path.bytes)))
            return fail_memory(w);
        r->found[r->found_count++] = (graft_found){
            .file = w->found_file,
            .offset = base + hit->offset,
            .index = hit->index,
            .stride = hit->stride,
            .where = (uint8_t)where,
        };
    }
    return 0;
}

/* A name or a symlink's target, whole. */
static int search_text(walk *w, const char *bytes, size_t length, enum graft_where where)
{
    size_t cut;
    if (!w->wanted || length < GRAFT_HASH_LENGTH)
        return 0;
    return search(w, (const uint8_t *)bytes, length, 1, where, 0, &cut);
}

/* Rewrites a name or a symlink's target in place; *changed says whether it had hits. */
static int rewrite_text(walk *w, char *bytes, size_t length, int *changed)
{
    size_t cut;
    tally hits = {0};
    *changed = 0;
    if (!w->table || length < GRAFT_HASH_LENGTH)
        return 0;
    if (find(w, w->table, (uint8_t *)bytes, length, 1, &cut))
        return -1;
    *changed = count_hits(w, &hits) > 0;
    add_tally(w, &hits);
    graft_apply(w->table, (uint8_t *)bytes, w->hits.items, w->hits.count);
    return 0;
}

/* ---- making things ------------------------------------------------------------------------ */

/* Notes that the target exists. A default ACL of the directory it lies in was inherited, and
 * would be by everything below; ACLs have no place in a store. */
static void begun(walk *w, int target)
{
    if (w->report->begun)
        return;
    w->report->begun = 1;
    if (target >= 0) {
        (void)fremovexattr(target, "system.posix_acl_default");
        (void)fremovexattr(target, "system.posix_acl_access");
    }
}

static const struct timespec mtime_1[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

/* Gives a made file or directory its metadata and closes it, whatever happens. */
static int finish(walk *w, int target, mode_t mode)
{
    const char *call = NULL;
    if (w->set_owner && fchown(target, w->job->owner, w->job->group))
        call = "fchown";
    else if (fchmod(target, mode))
        call = "fchmod";
    else if (futimens(target, mtime_1))
        call = "futimens";
    int code = errno;
    if (close(target) && !call && errno != EINTR) { /* the descriptor is gone all the same */
        call = "close";
        code = errno;
    }
    errno = code;
    return call ? fail_target(w, call) : 0;
}

static int write_all(walk *w, int target, const uint8_t *bytes, size_t length)
{
    while (length) {
        ssize_t n = write(target, bytes, length);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return fail_target(w, "write");
        }
        bytes += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Copies the first `size` bytes of a file into an empty one: in the kernel, which may share the
 * blocks, as far as it will, then by reading. */
static int copy_bytes(walk *w, int source, int target, uint64_t size)
{
    loff_t at = 0;
    while ((uint64_t)at < size) {
        uint64_t left = size - (uint64_t)at;
        size_t ask = left < KERNEL_COPY ? (size_t)left : KERNEL_COPY;
        ssize_t n = copy_file_range(source, &at, target, NULL, ask, 0);
        w->effort += ask;
        if (n > 0 || (n < 0 && errno == EINTR)) {
            if (poll_caller(w))
                return -1;
            continue;
        }
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
            return fail_target(w, "copy_file_range");
        break; /* not between these file systems, or not in this kernel */
    }
    if ((uint64_t)at < size && need(w, &w->spare, SPARE))
        return -1;
    while ((uint64_t)at < size) {
        uint64_t left = size - (uint64_t)at;
        ssize_t n = pread(source, w->spare, left < SPARE ? (size_t)left : SPARE, at);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return fail_source(w, "pread");
        }
        if (n == 0)
            return fail(w, GRAFT_TREE_CHANGED, "pread", 0);
        if (write_all(w, target, w->spare, (size_t)n))
            return -1;
        at += n;
        w->effort += (uint64_t)n;
        if (poll_caller(w))
            return -1;
    }
    return 0;
}

/* ---- hard links inside the tree ----------------------------------------------------------- */

/* The slot of an original, or the empty one where it belongs. The table is never full. */
static twin *twin_slot(twin *twins, size_t capacity, identity original)
{
    uint64_t mixed =
        ((uint64_t)original.inode ^ (uint64_t)original.device << 32) * 0x9e3779b97f4a7c15u;
    size_t at = (size_t)(mixed >> 32) & (capacity - 1);
    while (twins[at].path && !same(twins[at].original, original))
        at = (at + 1) & (capacity - 1);
    return &twins[at];
}

static int remember_twin(walk *w, identity original, const tally *hits)
{
    if (w->twin_count >= w->twin_capacity / 2) {
        size_t capacity = w->twin_capacity ? 2 * w->twin_capacity : 64;
        twin *wider = calloc(capacity, sizeof *wider);
        if (!wider)
            return fail_memory(w);
        for (size_t i = 0; i < w->twin_capacity; i++)
            if (w->twins[i].path)
                *twin_slot(wider, capacity, w->twins[i].original) = w->twins[i];
        free(w->twins);
        w->twins = wider;
        w->twin_capacity = capacity;
    }
    twin *slot = twin_slot(w->twins, w->twin_capacity, original);
    if (slot->path) /* its links are used up: further twins go to the newer copy */
        free(slot->path);
    else
        w->twin_count++;
    slot->original = original;
    slot->hits = *hits;
    slot->path = strdup(w->new_path.bytes);
    if (!slot->path) {
        w->twin_count--;
        return fail_memory(w);
    }
    return 0;
}

/* Links a file made before, which in a deep tree may be further away than one path can say. Every
 * reason it cannot be is one to write the file again. */
static int link_twin(const walk *w, const char *path, const place *to)
{
    int from = w->levels[0].target, result = -1;
    while (strlen(path) >= PATH_MAX) {
        char part[PATH_MAX];
        memcpy(part, path, sizeof part - 1);
        part[sizeof part - 1] = 0;
        char *slash = strrchr(part, '/');
        if (!slash)
            goto done;
        *slash = 0;
        path += slash - part + 1;
        int next = openat(from, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (from != w->levels[0].target)
            (void)close(from);
        from = next;
        if (from < 0)
            return -1;
    }
    result = linkat(from, path, to->directory, to->name, 0);
done:
    if (from != w->levels[0].target)
        (void)close(from);
    return result;
}

/* ---- regular files ------------------------------------------------------------------------ */

typedef struct {
    const place *from, *to;
    int source, target; /* descriptors; the target's is -1 until there is something to write */
    struct stat status; /* of the source */
    tally hits;
    int whole; /* the buffer begins with the whole of the contents */
} file;

static int create(walk *w, file *f)
{
    f->target = openat(f->to->directory, f->to->name,
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->target < 0)
        return fail_target(w, "openat");
    begun(w, f->target);
    return 0;
}

/* One pass over the contents: read, rewritten, searched, dumped, and from the first hit on
 * written.
 *
 * The buffer holds, in this order: bytes of the result that the search for `wanted` has not done
 * with; bytes in which a hit of `table` may still lie; bytes just read. By graft_find's promise the
 * first two are shorter than twice the span of their table, so memory does not depend on the
 * file. */
static int stream(walk *w, file *f, const graft_table *table)
{
    size_t window = w->job->window;
    if (need(w, &w->buffer, window + 2 * (w->table ? graft_table_span(w->table) : 0) +
                                2 * (w->wanted ? graft_table_span(w->wanted) : 0)))
        return -1;
    uint8_t *buffer = w->buffer;
    uint64_t size = (uint64_t)f->status.st_size;
    uint64_t got = 0, base = 0; /* bytes read; the offset of buffer[0] */
    size_t settled = 0, length = 0;
    for (int final = 0; !final;) {
        ssize_t n = read(f->source, buffer + length, window);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return fail_source(w, "read");
        }
        got += (uint64_t)n;
        length += (size_t)n;
        w->report->bytes_read += (uint64_t)n;
        w->effort += (uint64_t)n;
        if (got > size || (n == 0 && got < size))
            return fail(w, GRAFT_TREE_CHANGED, "read", 0);
        final = got == size && (size_t)n < window; /* less than asked for: the end was seen */
        size_t end = length, next, cut;
        if (table) {
            if (find(w, table, buffer + settled, length - settled, final, &cut))
                return -1;
            end = settled + cut;
            if (count_hits(w, &f->hits)) {
                if (f->to && f->target < 0 &&
                    (create(w, f) || copy_bytes(w, f->source, f->target, base + settled)))
                    return -1;
                graft_apply(table, buffer + settled, w->hits.items, w->hits.count);
            }
        }
        next = end;
        if (w->wanted) {
            if (search(w, buffer, end, final, GRAFT_IN_CONTENTS, base, &cut))
                return -1;
            next = cut;
        }
        if (emit(w, buffer + settled, end - settled))
            return -1;
        if (f->target >= 0 && write_all(w, f->target, buffer + settled, end - settled))
            return -1;
        if (final) {
            f->whole = base == 0;
            break;
        }
        memmove(buffer, buffer + next, length - next);
        base += next;
        settled = end - next;
        length -= next;
        if (poll_caller(w))
            return -1;
    }
    return 0;
}

/* Whether a file may be shared as it is: what a link cannot set right would spread. Nix compares
 * the owner but not the group, and leaves these two attributes alone
 * (src/libstore/local-store.cc, canonicaliseTimestampAndPermissions and below). */
static int canonical(const walk *w, const file *f)
{
    char names[1024];
    mode_t mode = f->status.st_mode & 07777;
    if (f->status.st_mtim.tv_sec != 1 || (mode != 0444 && mode != 0555) ||
        f->status.st_uid != w->job->owner)
        return 0;
    ssize_t length = flistxattr(f->source, names, sizeof names);
    if (length < 0)
        return errno == EOPNOTSUPP;
    for (const char *name = names; name < names + length; name += strlen(name) + 1)
        if (strcmp(name, "security.selinux") != 0 && strcmp(name, "system.nfs4_acl") != 0)
            return 0;
    return 1;
}

static mode_t file_mode(const file *f) { return f->status.st_mode & S_IXUSR ? 0555 : 0444; }

static identity original(const file *f)
{
    return (identity){f->status.st_dev, f->status.st_ino};
}

/* Makes a file that has no hits in the cheapest way that works, and any file in which something
 * was written its metadata. */
static int make_file(walk *w, file *f)
{
    graft_tree_report *r = w->report;
    uint64_t size = (uint64_t)f->status.st_size;
    if (f->target >= 0) {
        r->patched++;
        r->bytes_written += size;
    } else {
        if (w->link && canonical(w, f)) {
            if (!linkat(f->from->directory, f->from->name, f->to->directory, f->to->name, 0)) {
                begun(w, -1);
                r->linked++;
                r->bytes_shared += size;
                return 0;
            }
            /* Whatever the reason, a copy may do; if not it will say why. */
            w->link = errno != EXDEV;
        }
        if (create(w, f))
            return -1;
        int shared = 0;
        if (w->reflink && size) {
            shared = !ioctl(f->target, FICLONE, f->source);
            w->reflink = shared || (errno != EOPNOTSUPP && errno != EXDEV && errno != EINVAL &&
                                    errno != ENOTTY && errno != ENOSYS);
        }
        if (shared) {
            r->reflinked++;
            r->bytes_shared += size;
        } else {
            if (f->whole ? write_all(w, f->target, w->buffer, (size_t)size)
                         : copy_bytes(w, f->source, f->target, size))
                return -1;
            r->copied++;
            r->bytes_written += size;
        }
    }
    if (f->status.st_nlink > 1 && remember_twin(w, original(f), &f->hits))
        return -1;
    int target = f->target;
    f->target = -1;
    return finish(w, target, file_mode(f));
}

/* If a hard link of this file was made before: links to that, and lets the source be what was
 * made, to be dumped and searched. 1 if so. */
static int make_twin(walk *w, file *f)
{
    if (f->status.st_nlink < 2 || !w->twin_count)
        return 0;
    const twin *made = twin_slot(w->twins, w->twin_capacity, original(f));
    if (!made->path || link_twin(w, made->path, f->to))
        return 0;
    f->hits = made->hits;
    w->report->linked++;
    w->report->bytes_shared += (uint64_t)f->status.st_size;
    if (!w->job->sink && !w->wanted)
        return 1;
    int result = openat(f->to->directory, f->to->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (result < 0)
        return fail_target(w, "openat");
    (void)close(f->source);
    f->source = result;
    return 1;
}

static int regular_steps(walk *w, file *f)
{
    uint64_t size;
    int twinned = 0;
    if (fstat(f->source, &f->status))
        return fail_source(w, "fstat");
    if (!S_ISREG(f->status.st_mode))
        return fail(w, GRAFT_TREE_UNSUPPORTED, "openat", 0);
    size = (uint64_t)f->status.st_size;
    w->report->files++;
    if (f->to && (twinned = make_twin(w, f)) < 0)
        return -1;
    if (EMIT(w, "(", "type", "regular") ||
        (f->status.st_mode & S_IXUSR && EMIT(w, "executable", "")) || EMIT(w, "contents") ||
        emit_number(w, size))
        return -1;
    const graft_table *table = twinned ? NULL : w->table;
    if (table || w->wanted || w->job->sink) {
        if (stream(w, f, table))
            return -1;
    } else {
        w->report->nar_size += size;
    }
    if (emit_padding(w, size) || EMIT(w, ")"))
        return -1;
    add_tally(w, &f->hits);
    return f->to && !twinned ? make_file(w, f) : 0;
}

/* O_NONBLOCK: what was a file when it was listed may have become a pipe. */
static int regular(walk *w, const place *from, const place *to)
{
    file f = {.from = from, .to = to, .target = -1};
    f.source = openat(from->directory, from->name,
                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (f.source < 0)
        return fail_source(w, "openat");
    int result = regular_steps(w, &f);
    (void)close(f.source);
    if (f.target >= 0)
        (void)close(f.target);
    return result;
}

/* ---- symlinks ----------------------------------------------------------------------------- */

static int symbolic(walk *w, const place *from, const place *to)
{
    char target[PATH_MAX + 1];
    int changed;
    ssize_t n = readlinkat(from->directory, from->name, target, sizeof target);
    if (n < 0)
        return fail_source(w, "readlinkat");
    size_t length = (size_t)n;
    if (length == sizeof target) {
        errno = ENAMETOOLONG;
        return fail_source(w, "readlinkat");
    }
    target[length] = 0;
    w->report->symlinks++;
    if (rewrite_text(w, target, length, &changed))
        return -1;
    if (memchr(target, 0, length)) {
        errno = EINVAL;
        return fail_target(w, "symlinkat");
    }
    if (search_text(w, target, length, GRAFT_IN_TARGET) ||
        EMIT(w, "(", "type", "symlink", "target", target, ")"))
        return -1;
    if (!to)
        return 0;
    if (symlinkat(target, to->directory, to->name))
        return fail_target(w, "symlinkat");
    begun(w, -1);
    if (w->set_owner && fchownat(to->directory, to->name, w->job->owner, w->job->group,
                                 AT_SYMLINK_NOFOLLOW))
        return fail_target(w, "fchownat");
    if (utimensat(to->directory, to->name, mtime_1, AT_SYMLINK_NOFOLLOW))
        return fail_target(w, "utimensat");
    return 0;
}

/* ---- directories -------------------------------------------------------------------------- */

static int by_new_name(const void *one, const void *other)
{
    return strcmp(((const entry *)one)->new_name, ((const entry *)other)->new_name);
}

static int add_entry(walk *w, level *l, const listed *item)
{
    entry *room = grown(l->entries, &l->capacity, l->count + 1, sizeof *l->entries);
    if (!room)
        return fail_memory(w);
    l->entries = room;
    entry *e = &l->entries[l->count++];
    size_t length = strlen(item->name);
    e->type = item->type;
    e->old_at = e->new_at = l->names.length;
    if (append(w, &l->names, item->name, length + 1))
        return -1;
    if (!w->table || length < GRAFT_HASH_LENGTH)
        return 0;
    size_t copy = l->names.length;
    int changed;
    if (append(w, &l->names, item->name, length + 1) ||
        rewrite_text(w, l->names.bytes + copy, length, &changed))
        return -1;
    if (!changed) {
        l->names.length = copy;
        return 0;
    }
    e->new_at = copy;
    if (memchr(l->names.bytes + copy, '/', length) || memchr(l->names.bytes + copy, 0, length)) {
        errno = EINVAL; /* a table whose new names are no names must not lead out of the target */
        return fail_target(w, "rename");
    }
    return 0;
}

/* Lists a directory in the order of its NAR: the entries' new names as bytes. */
static int list(walk *w, level *l)
{
    if (need(w, &w->listing, LISTING))
        return -1;
    for (;;) {
        long n = syscall(SYS_getdents64, l->source, w->listing, LISTING);
        if (n < 0)
            return fail_source(w, "getdents64");
        if (n == 0)
            break;
        for (long at = 0; at < n;) {
            const listed *item = (const void *)(w->listing + at);
            at += item->length;
            if (strcmp(item->name, ".") != 0 && strcmp(item->name, "..") != 0 &&
                add_entry(w, l, item))
                return -1;
        }
    }
    for (size_t i = 0; i < l->count; i++) {
        l->entries[i].old_name = l->names.bytes + l->entries[i].old_at;
        l->entries[i].new_name = l->names.bytes + l->entries[i].new_at;
    }
    if (l->count)
        qsort(l->entries, l->count, sizeof *l->entries, by_new_name);
    for (size_t i = 1; i < l->count; i++)
        if (strcmp(l->entries[i - 1].new_name, l->entries[i].new_name) == 0) {
            if (set_path(w, &w->new_path, l->new_length, l->entries[i].new_name))
                return -1;
            return fail(w, GRAFT_TREE_COLLISION, "", 1);
        }
    return 0;
}

static int identify(walk *w, int directory, identity *is, int in_target)
{
    struct stat status;
    if (fstat(directory, &status))
        return fail(w, GRAFT_TREE_SYSTEM, "fstat", in_target);
    *is = (identity){status.st_dev, status.st_ino};
    return 0;
}

/* Closes the outermost open level but the top, if as many as may be are open. */
static int make_room(walk *w)
{
    if (w->depth < w->outermost + OPEN_LEVELS)
        return 0;
    level *l = &w->levels[w->outermost++];
    if (identify(w, l->source, &l->source_is, 0) ||
        (l->target >= 0 && identify(w, l->target, &l->target_is, 1)))
        return -1;
    (void)close(l->source);
    if (l->target >= 0)
        (void)close(l->target);
    l->source = l->target = -1;
    return 0;
}

/* Opens the directory that holds `child`, which must be the one left there. */
static int reopen(walk *w, int child, identity was, int *directory, int in_target)
{
    identity is;
    *directory = openat(child, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*directory < 0)
        return fail(w, GRAFT_TREE_SYSTEM, "openat", in_target);
    if (identify(w, *directory, &is, in_target))
        return -1;
    return same(is, was) ? 0 : fail(w, GRAFT_TREE_CHANGED, "openat", in_target);
}

static int enter(walk *w, const place *from, const place *to)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (w->depth && make_room(w))
        return -1;
    if (w->depth == w->level_capacity) {
        level *room = grown(w->levels, &w->level_capacity, w->depth + 1, sizeof *w->levels);
        if (!room)
            return fail_memory(w);
        w->levels = room;
        memset(room + w->depth, 0, (w->level_capacity - w->depth) * sizeof *room);
    }
    level *l = &w->levels[w->depth];
    l->names.length = l->count = l->next = 0; /* what a sibling left is used again */
    l->old_length = w->old_path.length;
    l->new_length = w->new_path.length;
    l->source = l->target = -1;
    w->depth++;
    l->source = openat(from->directory, from->name, flags);
    if (l->source < 0)
        return fail_source(w, "openat");
    if (to) {
        if (mkdirat(to->directory, to->name, 0755))
            return fail_target(w, "mkdirat");
        l->target = openat(to->directory, to->name, flags);
        begun(w, l->target);
        if (l->target < 0)
            return fail_target(w, "openat");
    }
    w->report->directories++;
    return EMIT(w, "(", "type", "directory") || list(w, l) ? -1 : 0;
}

static int leave(walk *w)
{
    level *l = &w->levels[w->depth - 1];
    w->old_path.bytes[w->old_path.length = l->old_length] = 0;
    w->new_path.bytes[w->new_path.length = l->new_length] = 0;
    if (w->depth > 1) {
        level *parent = l - 1;
        if (parent->source < 0) {
            if (reopen(w, l->source, parent->source_is, &parent->source, 0) ||
                (l->target >= 0 && reopen(w, l->target, parent->target_is, &parent->target, 1)))
                return -1;
            w->outermost = w->depth - 2;
        }
    }
    if (l->target >= 0) {
        int target = l->target;
        l->target = -1;
        if (finish(w, target, 0555))
            return -1;
    }
    (void)close(l->source);
    l->source = -1;
    w->depth--;
    return EMIT(w, ")") || (w->depth && EMIT(w, ")")) ? -1 : 0;
}

/* ---- the walk ----------------------------------------------------------------------------- */

static int visit(walk *w, const place *from, const place *to, uint8_t type)
{
    struct stat status;
    if (type == DT_UNKNOWN) {
        if (fstatat(from->directory, from->name, &status, AT_SYMLINK_NOFOLLOW))
            return fail_source(w, "fstatat");
        type = IFTODT(status.st_mode);
    }
    switch (type) {
    case DT_DIR:
        return enter(w, from, to);
    case DT_REG:
        return regular(w, from, to);
    case DT_LNK:
        return symbolic(w, from, to);
    default:
        return fail(w, GRAFT_TREE_UNSUPPORTED, "fstatat", 0);
    }
}

static int step(walk *w)
{
    level *l = &w->levels[w->depth - 1];
    if (l->next == l->count)
        return leave(w);
    const entry *e = &l->entries[l->next++];
    size_t depth = w->depth;
    place from = {l->source, e->old_name}, to = {l->target, e->new_name};
    w->found_file = NULL;
    w->effort += ENTRY_EFFORT;
    if (poll_caller(w) || set_path(w, &w->old_path, l->old_length, e->old_name) ||
        set_path(w, &w->new_path, l->new_length, e->new_name) ||
        EMIT(w, "entry", "(", "name", e->new_name, "node") ||
        search_text(w, e->new_name, strlen(e->new_name), GRAFT_IN_NAME) ||
        visit(w, &from, l->target >= 0 ? &to : NULL, e->type))
        return -1;
    return w->depth == depth ? EMIT(w, ")") : 0; /* a directory's comes when it is left */
}

/* On overlayfs a hard link to a file of a lower layer copies the whole file up first. */
static int is_overlay(walk *w, const char *target)
{
    struct statfs status;
    const char *slash = strrchr(target, '/');
    if (append(w, &w->new_path, target, slash ? (size_t)(slash - target) + 1 : 0))
        return -1;
    int result = statfs(slash ? w->new_path.bytes : ".", &status);
    w->new_path.bytes[w->new_path.length = 0] = 0;
    return result == 0 && (uint32_t)status.f_type == OVERLAYFS;
}

static int run(walk *w)
{
    const graft_tree_job *job = w->job;
    place from = {AT_FDCWD, job->source}, to = {AT_FDCWD, job->target};
    if (append(w, &w->old_path, "", 0) || append(w, &w->new_path, "", 0))
        return -1;
    if (job->target && w->link) {
        int overlay = is_overlay(w, job->target);
        if (overlay < 0)
            return -1;
        w->link = !overlay;
    }
    if (EMIT(w, "nix-archive-1") || visit(w, &from, job->target ? &to : NULL, DT_UNKNOWN))
        return -1;
    while (w->depth)
        if (step(w))
            return -1;
    return flush(w);
}

static void release(walk *w)
{
    for (size_t i = 0; i < w->level_capacity; i++) {
        level *l = &w->levels[i];
        if (i < w->depth && l->source >= 0)
            (void)close(l->source);
        if (i < w->depth && l->target >= 0)
            (void)close(l->target);
        free(l->names.bytes);
        free(l->entries);
    }
    for (size_t i = 0; i < w->twin_capacity; i++)
        free(w->twins[i].path);
    free(w->levels);
    free(w->twins);
    free(w->old_path.bytes);
    free(w->new_path.bytes);
    free(w->buffer);
    free(w->batch);
    free(w->listing);
    free(w->spare);
    graft_hits_free(&w->hits);
}

int graft_tree(const graft_tree_job *job, graft_tree_report *report)
{
    walk w = {
        .job = job,
        .report = report,
        .table = job->table && graft_table_count(job->table) ? job->table : NULL,
        .wanted = job->wanted && graft_table_count(job->wanted) ? job->wanted : NULL,
        .outermost = 1,
        .link = job->links,
        .reflink = job->reflinks,
        .set_owner = job->owner != geteuid() || job->group != getegid(),
    };
    memset(report, 0, sizeof *report);
    (void)run(&w);
    release(&w);
    return (int)report->error;
}

void graft_tree_report_free(graft_tree_report *report)
{
    for (size_t i = 0; i < report->found_count; i++)
        if (i == 0 || report->found[i].file != report->found[i - 1].file)
            free(report->found[i].file);
    free(report->found);
    free(report->file);
    memset(report, 0, sizeof *report);
}

int graft_syncfs(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return errno;
    int code = syncfs(descriptor) ? errno : 0;
    (void)close(descriptor);
    return code;
}

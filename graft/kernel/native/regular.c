#include "contents.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

static identity original(const file *f)
{
    return (identity){f->status.st_dev, f->status.st_ino};
}

static mode_t file_mode(const file *f) { return f->status.st_mode & S_IXUSR ? 0555 : 0444; }

static int create(walk *w, file *f)
{
    f->target = openat(f->to->directory, f->to->name,
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (f->target < 0)
        return fail_target(w, "openat");
    begun(w, f->target);
    return 0;
}

/* Of a mapped window the file may be cut short under the write: the bytes then are its fault. */
static int write_window(walk *w, file *f, const window *v, size_t begin, size_t end)
{
    if (f->target < 0 || !write_all(w, f->target, v->bytes + begin, end - begin))
        return 0;
    if (v->mapped && w->report->error == GRAFT_TREE_SYSTEM && w->report->code == EFAULT)
        return fail(w, GRAFT_TREE_CHANGED, "write", 0);
    return -1;
}

/* One pass over the contents: had, rewritten, searched, dumped, and from the first hit on
 * written. The first `settled` bytes in hand are done but for the search. */
static int stream_windows(walk *w, file *f, window *v, const graft_table *table)
{
    size_t settled = 0;
    for (int final = 0; !final;) {
        if (window_more(w, v, &final) ||
            (!f->marked && w->job->marks && mark(w, f, v->bytes, v->length)) ||
            (!f->watch.begun && w->job->suspicion_count && watch_begin(w, f, v->bytes, v->length)))
            return -1;
        size_t end = v->length, next, cut;
        if (table) {
            if (find(w, table, v->bytes + settled, v->length - settled, final, &cut))
                return -1;
            end = settled + cut;
            if (count_hits(w, &f->hits)) {
                if (f->to && f->target < 0 &&
                    (create(w, f) || copy_bytes(w, f->source, f->target, v->base + settled)))
                    return -1;
                graft_apply(table, v->bytes + settled, w->hits.items, w->hits.count);
            }
        }
        next = end;
        if (w->wanted) {
            if (search(w, v->bytes, end, final, GRAFT_IN_CONTENTS, v->base, &cut))
                return -1;
            next = cut;
        }
        if (w->job->suspicion_count && watch_more(w, f, v->bytes + settled, end - settled))
            return -1;
        if (nar_contents(w, v->bytes + settled, end - settled) ||
            write_window(w, f, v, settled, end) || window_whole(w, v) || worked(w, 0))
            return -1;
        f->whole = final && v->base == 0 && !v->mapped;
        settled = end - next;
        if (!final)
            window_drop(w, v, next, settled);
    }
    return 0;
}

static int stream(walk *w, file *f, const graft_table *table)
{
    window v;
    if (window_open(w, &v, f))
        return -1;
    int result = stream_windows(w, f, &v, table);
    window_close(&v);
    return result;
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

/* 1 if the original itself now has a second name at the target. */
static int link_original(walk *w, file *f)
{
    if (!w->link || !canonical(w, f))
        return 0;
    if (linkat(f->from->directory, f->from->name, f->to->directory, f->to->name, 0)) {
        /* Whatever the reason, a copy may do; if not it will say why. */
        w->link = errno != EXDEV;
        return 0;
    }
    begun(w, -1);
    return 1;
}

/* Fills a file that was just made; 1 if it shares the blocks of the original. */
static int fill(walk *w, file *f)
{
    uint64_t size = (uint64_t)f->status.st_size;
    if (w->reflink && size) {
        if (!ioctl(f->target, FICLONE, f->source))
            return 1;
        w->reflink = errno != EOPNOTSUPP && errno != EXDEV && errno != EINVAL &&
                     errno != ENOTTY && errno != ENOSYS;
    }
    return f->whole ? write_all(w, f->target, w->buffer, (size_t)size)
                    : copy_bytes(w, f->source, f->target, size);
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
    } else if (link_original(w, f)) {
        r->linked++;
        r->bytes_shared += size;
        return 0;
    } else {
        int shared = create(w, f) ? -1 : fill(w, f);
        if (shared < 0)
            return -1;
        *(shared ? &r->reflinked : &r->copied) += 1;
        *(shared ? &r->bytes_shared : &r->bytes_written) += size;
    }
    if (f->status.st_nlink > 1 && twins_remember(w, original(f), &f->hits))
        return -1;
    int target = f->target;
    f->target = -1;
    return finish(w, target, file_mode(f));
}

/* If a hard link of this file was made before: links to that, and lets the source be what was
 * made, to be dumped and searched. 1 if so. */
static int make_twin(walk *w, file *f)
{
    if (!twins_link(w, original(f), f->to, &f->hits))
        return 0;
    w->report->linked++;
    w->report->bytes_shared += (uint64_t)f->status.st_size;
    if (!w->job->sink && !w->wanted && !w->job->suspicion_count)
        return 1;
    int result = openat(f->to->directory, f->to->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (result < 0)
        return fail_target(w, "openat");
    (void)close(f->source);
    f->source = result;
    return 1;
}

static int steps(walk *w, file *f, int may_have_twins)
{
    uint64_t size = (uint64_t)f->status.st_size;
    /* Of a twin, what is read below is the result. */
    if (may_have_twins && w->job->marks && mark(w, f, NULL, 0))
        return -1;
    int twinned = may_have_twins ? make_twin(w, f) : 0;
    if (twinned < 0 || nar_regular(w, size, f->status.st_mode & S_IXUSR))
        return -1;
    const graft_table *table = twinned ? NULL : w->table;
    if (table || w->wanted || w->job->sink || w->job->suspicion_count) {
        if (stream(w, f, table))
            return -1;
    } else {
        w->report->nar_size += size;
        if (!f->marked && w->job->marks && mark(w, f, NULL, 0))
            return -1;
    }
    if (nar_regular_end(w, size))
        return -1;
    add_tally(w, &f->hits);
    if (w->job->marks && f->hits.references && mark_changed(w, f))
        return -1;
    if (!f->to && f->hits.references)
        w->report->patched++;
    return f->to && !twinned ? make_file(w, f) : 0;
}

static int opened(walk *w, file *f)
{
    if (fstat(f->source, &f->status))
        return fail_source(w, "fstat");
    if (!S_ISREG(f->status.st_mode))
        return fail(w, GRAFT_TREE_UNSUPPORTED, "openat", 0);
    w->report->files++;
    if (!f->to || f->status.st_nlink < 2)
        return steps(w, f, 0);
    identity it = original(f);
    twins_lock(w, it);
    int result = steps(w, f, 1);
    twins_unlock(w, it);
    return result;
}

/* O_NONBLOCK: what was a file when it was listed may have become a pipe. */
int regular(walk *w, const place *from, const place *to)
{
    file f = {.from = from, .to = to, .target = -1};
    f.source = openat(from->directory, from->name,
                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (f.source < 0)
        return fail_source(w, "openat");
    int result = opened(w, &f);
    (void)close(f.source);
    if (f.target >= 0)
        (void)close(f.target);
    return result;
}

#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run(walk *w)
{
    const graft_tree_job *job = w->job;
    place from = {AT_FDCWD, job->source}, to = {AT_FDCWD, job->target};
    const place *there = job->target ? &to : NULL;
    uint8_t type = DT_UNKNOWN;
    if (append(w, &w->old_path, "", 0) || append(w, &w->new_path, "", 0))
        return -1;
    if (there) {
        w->twins = twins_new();
        if (!w->twins)
            return fail_memory(w);
        int overlay = w->link ? is_overlay(w, job->target) : 0;
        if (overlay < 0)
            return -1;
        w->link = w->link && !overlay;
    }
    if (nar_begin(w) || know_type(w, &from, &type))
        return -1;
    int result;
    if (type != DT_DIR)
        result = leaf(w, &from, there, type);
    else if (job->threads > 1 && !job->sink)
        result = pool_walk(w, &from, there);
    else
        result = levels_walk(w, &from, there);
    return result ? -1 : nar_flush(w);
}

int graft_tree(const graft_tree_job *job, graft_tree_report *report)
{
    walk w;
    walk_begin(&w, job, report);
    w.polls = 1;
    (void)run(&w);
    walk_end(&w);
    twins_free(w.twins);
    return (int)report->error;
}

void graft_tree_report_free(graft_tree_report *report)
{
    for (size_t i = 0; i < report->found_count; i++)
        if (i == 0 || report->found[i].file != report->found[i - 1].file)
            free(report->found[i].file);
    free(report->found);
    free_marked(report);
    free_suspects(report);
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

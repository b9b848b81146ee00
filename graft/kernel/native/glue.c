/* The Python module graft.kernel.native._native: thin glue over match.c, tree.c and mount.c. */
#include "anchor_type.h"
#include "mount.h"
#include "density.h"
#include "crc32c.h"
#include "streams.h"
#include "relative.h"
#include "sieve.h"
#include "table.h"
#include "tree.h"

#include <errno.h>
#include <stdlib.h>

typedef struct {
    PyObject *walk_error;
} module_state;

/* ---- the sink ----------------------------------------------------------------------------- */

typedef struct {
    PyObject *sink;
    PyThreadState *state; /* of the thread that walks, while it goes without the GIL */
} caller;

/* A view that outlives the call would look into freed memory: it is released, which raises
 * BufferError if the sink kept a slice of it. */
static int call_sink(PyObject *sink, const uint8_t *bytes, size_t length)
{
    PyObject *view = PyMemoryView_FromMemory((char *)bytes, (Py_ssize_t)length, PyBUF_READ);
    if (!view)
        return -1;
    PyObject *result = PyObject_CallFunctionObjArgs(sink, view, NULL);
    PyObject *released = result ? PyObject_CallMethod(view, "release", NULL) : NULL;
    Py_XDECREF(released);
    Py_XDECREF(result);
    Py_DECREF(view);
    return released ? 0 : -1;
}

static int sink(void *context, const uint8_t *bytes, size_t length)
{
    caller *c = context;
    PyEval_RestoreThread(c->state);
    int stop = PyErr_CheckSignals() || call_sink(c->sink, bytes, length);
    c->state = PyEval_SaveThread();
    return stop;
}

static int poll_signals(void *context)
{
    caller *c = context;
    PyEval_RestoreThread(c->state);
    int stop = PyErr_CheckSignals();
    c->state = PyEval_SaveThread();
    return stop;
}

/* ---- walk --------------------------------------------------------------------------------- */

static const char *const kinds[] = {
    [GRAFT_TREE_OK] = "",
    [GRAFT_TREE_SYSTEM] = "system",
    [GRAFT_TREE_UNSUPPORTED] = "unsupported",
    [GRAFT_TREE_COLLISION] = "collision",
    [GRAFT_TREE_CHANGED] = "changed",
    [GRAFT_TREE_MEMORY] = "memory",
    [GRAFT_TREE_STOPPED] = "stopped",
};

/* Raises WalkError; what the sink raised becomes its cause. */
static void raise_walk_error(PyObject *walk_error, const graft_tree_report *r)
{
    PyObject *type, *cause, *traceback;
    PyErr_Fetch(&type, &cause, &traceback);
    if (type) {
        PyErr_NormalizeException(&type, &cause, &traceback);
        if (traceback)
            (void)PyException_SetTraceback(cause, traceback);
    }
    PyObject *file = PyBytes_FromString(r->file ? r->file : "");
    PyObject *arguments =
        file ? Py_BuildValue("sisNOO", kinds[r->error], r->code, r->call ? r->call : "", file,
                             r->in_target ? Py_True : Py_False, r->begun ? Py_True : Py_False)
             : NULL;
    PyObject *error = arguments ? PyObject_CallObject(walk_error, arguments) : NULL;
    if (error) {
        if (cause) {
            PyException_SetCause(error, cause); /* takes the reference */
            cause = NULL;
        }
        PyErr_SetObject(walk_error, error);
        Py_DECREF(error);
    }
    Py_XDECREF(arguments);
    Py_XDECREF(type);
    Py_XDECREF(cause);
    Py_XDECREF(traceback);
}

static PyObject *found_list(const graft_tree_report *r)
{
    PyObject *list = PyList_New((Py_ssize_t)r->found_count);
    PyObject *file = NULL; /* shared by the hits of one file */
    if (!list)
        return NULL;
    for (size_t i = 0; i < r->found_count; i++) {
        const graft_found *f = &r->found[i];
        if (i == 0 || f->file != r->found[i - 1].file) {
            Py_XDECREF(file);
            file = PyBytes_FromString(f->file);
        }
        PyObject *item = file ? Py_BuildValue("OKIII", file, (unsigned long long)f->offset,
                                              (unsigned)f->index, (unsigned)f->stride,
                                              (unsigned)f->where)
                              : NULL;
        if (!item || PyList_SetItem(list, (Py_ssize_t)i, item)) {
            Py_XDECREF(file);
            Py_DECREF(list);
            return NULL;
        }
    }
    Py_XDECREF(file);
    return list;
}

static PyObject *marked_list(const graft_tree_report *r)
{
    PyObject *list = PyList_New((Py_ssize_t)r->marked_count);
    for (size_t i = 0; list && i < r->marked_count; i++) {
        PyObject *file = PyBytes_FromString(r->marked[i]);
        if (!file || PyList_SetItem(list, (Py_ssize_t)i, file))
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *suspect_list(const graft_tree_report *r)
{
    PyObject *list = PyList_New((Py_ssize_t)r->suspects_count);
    for (size_t i = 0; list && i < r->suspects_count; i++) {
        PyObject *item =
            Py_BuildValue("yI", r->suspects[i].file, (unsigned)r->suspects[i].where);
        if (!item || PyList_SetItem(list, (Py_ssize_t)i, item))
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *report_tuple(const graft_tree_report *r, PyObject *seen)
{
    typedef unsigned long long number;
    PyObject *found = found_list(r);
    PyObject *marked = found ? marked_list(r) : NULL;
    PyObject *suspects = marked ? suspect_list(r) : NULL;
    if (!suspects) {
        Py_XDECREF(marked);
        Py_XDECREF(found);
        return NULL;
    }
    return Py_BuildValue("(KKKKKKKKKKKKKK)ONNN", (number)r->nar_size, (number)r->files,
                         (number)r->patched, (number)r->linked, (number)r->reflinked,
                         (number)r->copied, (number)r->directories, (number)r->symlinks, (number)r->bytes_read,
                         (number)r->bytes_written, (number)r->bytes_shared,
                         (number)r->references, (number)r->bare, (number)r->overlapped, seen,
                         found, marked, suspects);
}

typedef struct {
    graft_marks marks;
    graft_magic *magics;
    graft_name_mark *names;
} marks_argument;

static void free_marks(marks_argument *a)
{
    PyMem_Free(a->magics);
    PyMem_Free(a->names);
}

static int add_names(marks_argument *a, PyObject *names, int whole)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(names); i++) {
        char *text;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(names, i), &text, &length))
            return -1;
        a->names[a->marks.name_count++] = (graft_name_mark){text, (size_t)length, whole};
    }
    return 0;
}

static int add_magics(marks_argument *a, PyObject *magics)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(magics); i++) {
        Py_ssize_t offset, length;
        const char *bytes;
        if (!PyArg_ParseTuple(PyTuple_GetItem(magics, i), "ny#", &offset, &bytes, &length))
            return -1;
        if (offset < 0 || length < 1 || offset > GRAFT_HEAD - length) {
            PyErr_Format(PyExc_ValueError, "a magic is of one byte or more, in the first %d bytes", GRAFT_HEAD);
            return -1;
        }
        size_t end = (size_t)(offset + length);
        a->magics[a->marks.magic_count++] =
            (graft_magic){(size_t)offset, (size_t)length, (const uint8_t *)bytes};
        a->marks.head = end > a->marks.head ? end : a->marks.head;
    }
    return 0;
}

/* The bytes stay the Python objects'. */
static int read_marks(PyObject *object, marks_argument *a)
{
    PyObject *magics, *suffixes, *names;
    if (!PyArg_ParseTuple(object, "O!O!O!;marks", &PyTuple_Type, &magics, &PyTuple_Type, &suffixes,
                          &PyTuple_Type, &names))
        return -1;
    size_t name_count = (size_t)(PyTuple_Size(suffixes) + PyTuple_Size(names));
    a->magics = PyMem_Calloc((size_t)PyTuple_Size(magics) + 1, sizeof *a->magics);
    a->names = PyMem_Calloc(name_count + 1, sizeof *a->names);
    if (!a->magics || !a->names) {
        PyErr_NoMemory();
        return -1;
    }
    a->marks.magics = a->magics;
    a->marks.names = a->names;
    return add_magics(a, magics) || add_names(a, suffixes, 0) || add_names(a, names, 1) ? -1 : 0;
}

static int table_argument(PyObject *object, const graft_table **table)
{
    *table = NULL;
    if (object == Py_None)
        return 0;
    *table = graft_table_of(object);
    return *table ? 0 : -1;
}

PyDoc_STRVAR(walk_doc,
             "walk(source, target, *, table, wanted, sink, marks, suspicions, report, links,\n"
             "     reflinks, owner, group,\n"
             "     window, map_window, map_from, threads_map_from,\n"
             "     threads)\n--\n\n"
             "Walk, copy, patch, dump and search one tree; see _native.pyi.");

static PyObject *walk(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"source", "target",   "table",    "wanted", "sink",
                            "marks",  "suspicions", "report", "links",    "reflinks", "owner",  "group",
                            "window", "map_window", "map_from", "threads_map_from", "threads", NULL};
    const char *source;
    PyObject *target, *table, *wanted, *python_sink, *python_marks, *python_suspicions;
    int report_found, links, reflinks;
    long long owner, group;
    unsigned long long map_from, threads_map_from;
    Py_ssize_t window, map_window, threads;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "yO$OOOOOpppLLnnKKn:walk", names, &source, &target,
                                     &table, &wanted, &python_sink, &python_marks, &python_suspicions, &report_found, &links,
                                     &reflinks, &owner, &group, &window, &map_window, &map_from,
                                     &threads_map_from, &threads))
        return NULL;
    if (window < 1 || map_window < 1 || threads < 1) {
        PyErr_SetString(PyExc_ValueError, "windows must be of a byte or more, threads one or more");
        return NULL;
    }
    caller context = {.sink = python_sink};
    graft_tree_job job = {
        .source = source,
        .sink = python_sink == Py_None ? NULL : sink,
        .poll = poll_signals,
        .context = &context,
        .report = report_found,
        .links = links,
        .reflinks = reflinks,
        .owner = (uid_t)owner,
        .group = (gid_t)group,
        .window = (size_t)window,
        .map_window = (size_t)map_window,
        .map_from = map_from,
        .threads_map_from = threads_map_from,
        .threads = (size_t)threads,
    };
    if (target != Py_None) {
        char *bytes;
        if (PyBytes_AsStringAndSize(target, &bytes, NULL))
            return NULL;
        job.target = bytes;
    }
    if (table_argument(table, &job.table) || table_argument(wanted, &job.wanted))
        return NULL;

    marks_argument marks = {.magics = NULL};
    if (python_marks != Py_None) {
        if (read_marks(python_marks, &marks)) {
            free_marks(&marks);
            return NULL;
        }
        job.marks = &marks.marks;
    }

    suspicions_argument suspicions = {.magics = NULL};
    if (graft_read_suspicions(python_suspicions, &suspicions)) {
        PyMem_Free(suspicions.magics);
        free_marks(&marks);
        return NULL;
    }
    job.suspicions = suspicions.items;
    job.suspicion_count = suspicions.count;

    size_t count = job.wanted ? graft_table_count(job.wanted) : 0;
    PyObject *seen = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)count);
    if (!seen) {
        PyMem_Free(suspicions.magics);
        free_marks(&marks);
        return NULL;
    }
    job.seen = (uint8_t *)PyBytes_AsString(seen);
    for (size_t i = 0; i < count; i++)
        job.seen[i] = 0;

    graft_tree_report report;
    context.state = PyEval_SaveThread();
    int error = graft_tree(&job, &report);
    PyEval_RestoreThread(context.state);

    PyObject *result = NULL;
    if (error == GRAFT_TREE_MEMORY && !report.begun)
        PyErr_NoMemory();
    else if (error)
        raise_walk_error(((module_state *)PyModule_GetState(module))->walk_error, &report);
    else
        result = report_tuple(&report, seen);
    graft_tree_report_free(&report);
    PyMem_Free(suspicions.magics);
    free_marks(&marks);
    Py_DECREF(seen);
    return result;
}

/* ---- the rest ----------------------------------------------------------------------------- */

PyDoc_STRVAR(syncfs_doc, "syncfs(path)\n--\n\n"
                         "Write everything on the path's file system to the disk.");

static PyObject *sync_file_system(PyObject *module, PyObject *path)
{
    (void)module;
    char *bytes;
    int code;
    if (PyBytes_AsStringAndSize(path, &bytes, NULL))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    code = graft_syncfs(bytes);
    Py_END_ALLOW_THREADS
    if (code) {
        errno = code;
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(unshare_mounts_doc,
             "unshare_mounts()\n--\n\n"
             "Leave the mount namespace of the other processes, for a copy that is this thread's.");

static PyObject *unshare_mounts(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    int code = graft_unshare_mounts();
    if (code) {
        errno = code;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(remount_writable_doc,
             "remount_writable(path)\n--\n\n"
             "Make a directory of a read-only mount writable in this mount namespace.");

static PyObject *remount_writable(PyObject *module, PyObject *path)
{
    (void)module;
    char *bytes;
    if (PyBytes_AsStringAndSize(path, &bytes, NULL))
        return NULL;
    int code = graft_remount_writable(bytes);
    if (code) {
        errno = code;
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(variants_doc, "variants()\n--\n\n"
                           "The names of the matcher's variants that run here, the fastest first.");

static PyObject *variants(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    PyObject *list = PyList_New(0);
    for (const char *const *name = graft_variants(); list != NULL && *name != NULL; name++) {
        PyObject *text = PyUnicode_FromString(*name);
        if (text == NULL || PyList_Append(list, text))
            Py_CLEAR(list);
        Py_XDECREF(text);
    }
    return list;
}

PyDoc_STRVAR(find_streams_doc, "find_streams(data, final=True)\n--\n\n"
                               "Offset and kind of every plausible beginning of a stream.");

enum { ALONE = 4096 }; /* larger buffers are searched without the GIL */

static PyObject *find_streams(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer view;
    int final = 1;
    if (!PyArg_ParseTuple(args, "y*|p:find_streams", &view, &final))
        return NULL;
    graft_stream_list found = {0};
    PyThreadState *state = view.len > ALONE ? PyEval_SaveThread() : NULL;
    int failed = graft_streams_find(view.buf, (size_t)view.len, final, &found);
    if (state != NULL)
        PyEval_RestoreThread(state);
    PyBuffer_Release(&view);
    PyObject *list = failed ? PyErr_NoMemory() : PyList_New((Py_ssize_t)found.count);
    for (size_t i = 0; list != NULL && i < found.count; i++) {
        PyObject *item =
            Py_BuildValue("nI", (Py_ssize_t)found.items[i].offset, (unsigned)found.items[i].kind);
        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, item); /* takes the reference */
    }
    free(found.items);
    return list;
}

PyDoc_STRVAR(is_dense_doc, "is_dense(data, mostly=False)\n--\n\n"
                           "Whether a part of some bytes is packed or encrypted; see density.py.");

static PyObject *is_dense(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer view;
    int mostly = 0;
    if (!PyArg_ParseTuple(args, "y*|p:is_dense", &view, &mostly))
        return NULL;
    graft_density density;
    PyThreadState *state = view.len > ALONE ? PyEval_SaveThread() : NULL;
    graft_density_begin(&density, (uint64_t)view.len);
    graft_density_more(&density, view.buf, (size_t)view.len);
    graft_density_end(&density);
    if (state != NULL)
        PyEval_RestoreThread(state);
    PyBuffer_Release(&view);
    return PyBool_FromLong(graft_density_is(&density, mostly));
}

static PyMethodDef functions[] = {
    {"is_dense", is_dense, METH_VARARGS, is_dense_doc},
    {"find_streams", find_streams, METH_VARARGS, find_streams_doc},
    {"walk", (PyCFunction)(void (*)(void))walk, METH_VARARGS | METH_KEYWORDS, walk_doc},
    {"syncfs", sync_file_system, METH_O, syncfs_doc},
    {"unshare_mounts", unshare_mounts, METH_NOARGS, unshare_mounts_doc},
    {"remount_writable", remount_writable, METH_O, remount_writable_doc},
    {"variants", variants, METH_NOARGS, variants_doc},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    state->walk_error = PyErr_NewExceptionWithDoc(
        "graft.kernel.native._native.WalkError",
        "A walk failed: args are kind, errno, call, file, in_target and begun.", NULL, NULL);
    if (!state->walk_error || PyModule_AddObjectRef(module, "WalkError", state->walk_error))
        return -1;
    if (graft_anchors_add_type(module) || graft_relative_add(module) ||
        graft_crc32c_add(module) || graft_sieve_add_type(module))
        return -1;
    return graft_table_add_type(module);
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);
    Py_VISIT(state->walk_error);
    return 0;
}

static int clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->walk_error);
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "graft.kernel.native._native",
    .m_doc = "The native kernel and walker of graft.",
    .m_size = sizeof(module_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}

#include "sieve.h"

#include "anchor_type.h"
#include "density.h"
#include "streams.h"
#include "table.h"

static int read_suspicion(PyObject *object, graft_suspicion *s, graft_magic *magics)
{
    PyObject *anchors, *texts;
    if (!PyArg_ParseTuple(object, "OO!p;a suspicion", &anchors, &PyTuple_Type, &texts, &s->density))
        return -1;
    if (anchors != Py_None && !s->density && !(s->anchors = graft_anchors_of(anchors, &s->step)))
        return -1;
    s->magics = magics;
    for (Py_ssize_t i = 0; i < PyTuple_Size(texts); i++) {
        char *text;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(texts, i), &text, &length))
            return -1;
        if (length < 1 || length > GRAFT_ANCHOR) {
            PyErr_Format(PyExc_ValueError, "a magic of a suspicion is of 1 to %d bytes", GRAFT_ANCHOR);
            return -1;
        }
        magics[s->magic_count++] = (graft_magic){0, (size_t)length, (const uint8_t *)text};
    }
    return 0;
}

int graft_read_suspicions(PyObject *object, suspicions_argument *a)
{
    Py_ssize_t count = PyTuple_Check(object) ? PyTuple_Size(object) : -1;
    size_t magics = 0, used = 0;
    if (count < 0 || count > GRAFT_SUSPICIONS) {
        PyErr_Format(PyExc_ValueError, "suspicions are a tuple of %d at most", GRAFT_SUSPICIONS);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *anchors, *texts;
        int density;
        if (!PyArg_ParseTuple(PyTuple_GetItem(object, i), "OO!p;a suspicion", &anchors,
                              &PyTuple_Type, &texts, &density))
            return -1;
        magics += (size_t)PyTuple_Size(texts);
    }
    a->magics = PyMem_Calloc(magics + 1, sizeof *a->magics);
    if (!a->magics) {
        PyErr_NoMemory();
        return -1;
    }
    for (; a->count < (size_t)count; a->count++) {
        graft_suspicion *s = &a->items[a->count];
        if (read_suspicion(PyTuple_GetItem(object, (Py_ssize_t)a->count), s, a->magics + used))
            return -1;
        used += s->magic_count;
    }
    return 0;
}

typedef struct {
    PyObject_HEAD
    PyObject *held[2]; /* the table and the suspicions, to which all pointers lead */
    const graft_table *table;
    suspicions_argument suspicions;
} sieve_object;

/* What is in bytes, as graft/kernel/sieve.py has it. */
enum { STANDS = 1, SUSPECTED = 2, STREAMED = 4, DENSE = 8 };

static PyObject *new_sieve(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"table", "suspicions", NULL};
    PyObject *table, *suspicions;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO:Sieve", names, &table, &suspicions))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    sieve_object *self = (sieve_object *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->held[0] = Py_NewRef(table);
    self->held[1] = Py_NewRef(suspicions);
    self->table = graft_table_of(table);
    if (self->table == NULL || graft_read_suspicions(suspicions, &self->suspicions)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void free_sieve(PyObject *object)
{
    sieve_object *self = (sieve_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyMem_Free(self->suspicions.magics);
    Py_XDECREF(self->held[0]);
    Py_XDECREF(self->held[1]);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF((PyObject *)type);
}

static int suspect(const graft_suspicion *s, const uint8_t *bytes, size_t length)
{
    int asked = graft_suspicion_is_of(s, bytes, length);
    if (s->density) {
        graft_density density;
        graft_density_begin(&density, (uint64_t)length);
        graft_density_more(&density, bytes, length);
        graft_density_end(&density);
        return graft_density_is(&density, s->magic_count && asked) ? DENSE : 0;
    }
    if (!asked)
        return 0;
    if (!s->anchors)
        return graft_streams_stand(bytes, length, length, 0, 1) ? STREAMED : 0;
    return graft_anchors_stand(s->anchors, bytes, length, s->step) ? SUSPECTED : 0;
}

/* The flags, or -1: no memory. */
static int flags_of(const sieve_object *self, const uint8_t *bytes, size_t length)
{
    graft_hits hits = {0};
    if (graft_find(self->table, bytes, length, 1, &hits) == (size_t)-1)
        return -1;
    int flags = hits.count ? STANDS : 0;
    graft_hits_free(&hits);
    for (size_t i = 0; i < self->suspicions.count; i++)
        flags |= suspect(&self->suspicions.items[i], bytes, length);
    return flags;
}

enum { ALONE = 4096 }; /* larger buffers are searched without the GIL */

static PyObject *find(PyObject *object, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyThreadState *state = view.len > ALONE ? PyEval_SaveThread() : NULL;
    int flags = flags_of((sieve_object *)object, view.buf, (size_t)view.len);
    if (state != NULL)
        PyEval_RestoreThread(state);
    PyBuffer_Release(&view);
    return flags < 0 ? PyErr_NoMemory() : PyLong_FromLong(flags);
}

static PyMethodDef methods[] = {
    {"find", find, METH_O, "find($self, data, /)\n--\n\nWhat is in some bytes; see sieve.py."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Sieve(table, suspicions)\n--\n\nTells what is in bytes in memory."},
    {Py_tp_new, new_sieve},
    {Py_tp_dealloc, free_sieve},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "graft.kernel.native._native.Sieve",
    .basicsize = sizeof(sieve_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

int graft_sieve_add_type(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddObjectRef(module, "Sieve", type);
    Py_DECREF(type);
    return failed;
}

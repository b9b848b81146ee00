/* The Python type `Table` over a graft_table. What it may trust (kernel/reference.py checks the
 * entries for both twins) and what it checks again: only what memory safety hangs on. */
#include "table.h"

#include <string.h>

/* Larger buffers are searched without the GIL. A search of fewer bytes takes about as long as
 * giving the GIL back and waiting for it. */
enum { ALONE = 4096 };

typedef struct {
    PyObject_HEAD
    graft_table *table;
    PyTypeObject *hit; /* the class of the hits: a named tuple */
} table_object;

/* Set once by graft_table_add_type; lives as long as the process. */
static PyTypeObject *table_type;
/* tuple.__new__: makes a named tuple some four times as fast as calling its class. */
static newfunc tuple_new;

/* ---- construction ---- */

/* Borrows `pair`'s strings into `entry`. 0, or -1 with an exception set. */
static int entry_of(PyObject *pair, graft_entry *entry)
{
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "an entry must be a pair");
        return -1;
    }
    char *old_base, *new_base = NULL;
    Py_ssize_t old_length, new_length;
    if (PyBytes_AsStringAndSize(PyTuple_GetItem(pair, 0), &old_base, &old_length) < 0)
        return -1;
    new_length = old_length;
    PyObject *replacement = PyTuple_GetItem(pair, 1);
    if (replacement != Py_None &&
        PyBytes_AsStringAndSize(replacement, &new_base, &new_length) < 0)
        return -1;
    if (old_length < GRAFT_HASH_LENGTH || old_length != new_length) {
        PyErr_SetString(PyExc_ValueError, "an entry's lengths are wrong");
        return -1;
    }
    entry->old_base = (const uint8_t *)old_base;
    entry->new_base = (const uint8_t *)new_base;
    entry->length = (size_t)old_length;
    return 0;
}

/* The table of a tuple of pairs; NULL with an exception set. */
static graft_table *table_from(PyObject *pairs, const char *variant)
{
    Py_ssize_t count = PyTuple_Size(pairs);
    graft_entry *entries = PyMem_Calloc((size_t)count + 1, sizeof *entries);
    if (entries == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    graft_table *table = NULL;
    Py_ssize_t i = 0;
    while (i < count && entry_of(PyTuple_GetItem(pairs, i), &entries[i]) == 0)
        i++;
    if (i == count) {
        table = graft_table_new(entries, (size_t)count, variant);
        if (table == NULL)
            PyErr_NoMemory();
    }
    PyMem_Free(entries);
    return table;
}

static int runs_here(const char *variant)
{
    for (const char *const *name = graft_variants(); *name != NULL; name++)
        if (strcmp(*name, variant) == 0)
            return 1;
    return 0;
}

static PyObject *new_table(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"entries", "hit", "variant", NULL};
    PyObject *sequence, *hit;
    const char *variant;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOs:Table", names, &sequence, &hit, &variant))
        return NULL;
    if (!runs_here(variant)) {
        PyErr_Format(PyExc_ValueError, "the variant %s does not run here", variant);
        return NULL;
    }
    if (!PyType_Check(hit) || !PyType_IsSubtype((PyTypeObject *)hit, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "the class of the hits must be a named tuple");
        return NULL;
    }
    PyObject *pairs = PySequence_Tuple(sequence);
    if (pairs == NULL)
        return NULL;
    graft_table *table = table_from(pairs, variant);
    Py_DECREF(pairs);
    if (table == NULL)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    table_object *self = (table_object *)allocate(type, 0);
    if (self == NULL) {
        graft_table_free(table);
        return NULL;
    }
    self->table = table;
    self->hit = (PyTypeObject *)Py_NewRef(hit);
    return (PyObject *)self;
}

static void free_table(PyObject *object)
{
    table_object *self = (table_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    graft_table_free(self->table);
    Py_XDECREF((PyObject *)self->hit);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF((PyObject *)type); /* instances of a heap type own a reference to it */
}

/* ---- searching ---- */

/* Hit(offset, length, index, stride, bare, overlapped) */
static PyObject *hit_object(PyTypeObject *type, const graft_hit *hit)
{
    PyObject *fields = Py_BuildValue("nnIiOO", (Py_ssize_t)hit->offset, (Py_ssize_t)hit->length,
                                     (unsigned)hit->index, (int)hit->stride,
                                     hit->bare ? Py_True : Py_False,
                                     hit->overlapped ? Py_True : Py_False);
    if (fields == NULL)
        return NULL;
    PyObject *args = PyTuple_Pack(1, fields);
    Py_DECREF(fields);
    if (args == NULL)
        return NULL;
    PyObject *object = tuple_new(type, args, NULL);
    Py_DECREF(args);
    return object;
}

static PyObject *hit_list(PyTypeObject *type, const graft_hits *hits)
{
    PyObject *list = PyList_New((Py_ssize_t)hits->count);
    for (size_t i = 0; list != NULL && i < hits->count; i++) {
        PyObject *hit = hit_object(type, &hits->items[i]);
        if (hit == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, hit); /* takes the reference */
    }
    return list;
}

/* The arguments of find and the rewrites, and what graft_find makes of them. */
typedef struct {
    Py_buffer data;
    graft_hits hits;
    size_t cut;
} search;

static void end_search(search *s)
{
    graft_hits_free(&s->hits);
    PyBuffer_Release(&s->data);
}

/* `flags` say what the buffer must be. 0, and end_search is due; or -1 with an exception set, and it
 * is not. */
static int begin_search(table_object *self, PyObject *args, PyObject *keywords, int flags,
                        search *s)
{
    static char *names[] = {"data", "final", NULL};
    PyObject *data;
    int final = 1;
    memset(s, 0, sizeof *s);
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|p", names, &data, &final) ||
        PyObject_GetBuffer(data, &s->data, flags) < 0)
        return -1;
    size_t length = (size_t)s->data.len;
    PyThreadState *state = length > ALONE ? PyEval_SaveThread() : NULL;
    s->cut = graft_find(self->table, s->data.buf, length, final, &s->hits);
    if (state != NULL)
        PyEval_RestoreThread(state);
    if (s->cut == (size_t)-1) {
        end_search(s);
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static PyObject *find(PyObject *object, PyObject *args, PyObject *keywords)
{
    table_object *self = (table_object *)object;
    search s;
    if (begin_search(self, args, keywords, PyBUF_SIMPLE, &s) < 0)
        return NULL;
    PyObject *hits = hit_list(self->hit, &s.hits);
    Py_ssize_t cut = (Py_ssize_t)s.cut;
    end_search(&s);
    return hits == NULL ? NULL : Py_BuildValue("Nn", hits, cut);
}

/* The first `cut` bytes with the hits replaced; NULL with an exception set. */
static PyObject *replaced(table_object *self, const search *s)
{
    if (s->hits.count == 0 && s->cut == (size_t)s->data.len && s->data.obj != NULL &&
        PyBytes_CheckExact(s->data.obj))
        return Py_NewRef(s->data.obj); /* nothing to change: bytes are immutable, so share them */
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)s->cut);
    if (result == NULL || s->cut == 0)
        return result;
    char *to = PyBytes_AsString(result); /* no one else has seen it yet */
    PyThreadState *state = s->cut > ALONE ? PyEval_SaveThread() : NULL;
    memcpy(to, s->data.buf, s->cut);
    graft_apply(self->table, (uint8_t *)to, s->hits.items, s->hits.count);
    if (state != NULL)
        PyEval_RestoreThread(state);
    return result;
}

static PyObject *rewrite(PyObject *object, PyObject *args, PyObject *keywords)
{
    table_object *self = (table_object *)object;
    search s;
    if (begin_search(self, args, keywords, PyBUF_SIMPLE, &s) < 0)
        return NULL;
    PyObject *result = replaced(self, &s);
    PyObject *hits = result == NULL ? NULL : hit_list(self->hit, &s.hits);
    Py_ssize_t cut = (Py_ssize_t)s.cut;
    end_search(&s);
    if (hits == NULL) {
        Py_XDECREF(result);
        return NULL;
    }
    return Py_BuildValue("NNn", result, hits, cut);
}

/* Few hits are written and counted sooner than the GIL is given back and got again. */
enum { FEW = ALONE / GRAFT_HASH_LENGTH };

static PyObject *rewrite_in_place(PyObject *object, PyObject *args, PyObject *keywords)
{
    table_object *self = (table_object *)object;
    search s;
    if (begin_search(self, args, keywords, PyBUF_WRITABLE, &s) < 0)
        return NULL;
    Py_ssize_t references = 0, bare = 0, overlapped = 0, cut = (Py_ssize_t)s.cut;
    PyThreadState *state = s.hits.count > FEW ? PyEval_SaveThread() : NULL;
    graft_apply(self->table, s.data.buf, s.hits.items, s.hits.count);
    for (size_t i = 0; i < s.hits.count; i++) {
        const graft_hit *hit = &s.hits.items[i];
        overlapped += hit->overlapped;
        references += !hit->overlapped;
        bare += hit->bare && !hit->overlapped;
    }
    if (state != NULL)
        PyEval_RestoreThread(state);
    end_search(&s);
    return Py_BuildValue("nnnn", cut, references, bare, overlapped);
}

static PyObject *span(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(graft_table_span(((table_object *)object)->table));
}

static Py_ssize_t count(PyObject *object)
{
    return (Py_ssize_t)graft_table_count(((table_object *)object)->table);
}

/* ---- the type ---- */

/* Through void (*)(void): a method with keywords has one argument more than PyCFunction says. */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef methods[] = {
    {"find", METHOD(find), METH_VARARGS | METH_KEYWORDS,
     "find($self, /, data, final=True)\n--\n\n"
     "The hits of data that begin before the cut, and the cut."},
    {"rewrite", METHOD(rewrite), METH_VARARGS | METH_KEYWORDS,
     "rewrite($self, /, data, final=True)\n--\n\n"
     "The bytes of data before the cut with the hits replaced, the hits, and the cut."},
    {"rewrite_in_place", METHOD(rewrite_in_place), METH_VARARGS | METH_KEYWORDS,
     "rewrite_in_place($self, /, data, final=True)\n--\n\n"
     "Replaces the hits in data before the cut; the cut, and the numbers of hits."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"span", span, NULL, "The longest encoded reference, in bytes; 0 if the table is empty.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Table(entries, hit)\n--\n\n"
                "Old base names and what stands in their place, and the class of the hits.\n\n"
                "The entries have been checked."},
    {Py_tp_new, new_table},
    {Py_tp_dealloc, free_table},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_sq_length, count},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "graft.kernel.native._native.Table",
    .basicsize = sizeof(table_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

int graft_table_add_type(PyObject *module)
{
    tuple_new = (newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new);
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type == NULL)
        return -1;
    table_type = (PyTypeObject *)type;
    return PyModule_AddObjectRef(module, "Table", type);
}

const graft_table *graft_table_of(PyObject *object)
{
    if (!PyObject_TypeCheck(object, table_type)) {
        PyErr_SetString(PyExc_TypeError, "a Table of the native kernel is needed");
        return NULL;
    }
    return ((table_object *)object)->table;
}

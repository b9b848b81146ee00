/* The Python type `Anchors` over graft_anchors. */
#include "anchor_type.h"

#include <stdlib.h>

static PyTypeObject *anchors_type; /* there is one module in a process */

enum { ALONE = 4096 }; /* larger buffers are searched without the GIL */

typedef struct {
    PyObject_HEAD
    graft_anchors *anchors;
    size_t step;
} anchors_object;

static PyObject *new_anchors(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"words", "step", NULL};
    Py_buffer words;
    Py_ssize_t step = 1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "y*|n:Anchors", names, &words, &step))
        return NULL;
    if (words.len % GRAFT_ANCHOR || step < 1) {
        PyBuffer_Release(&words);
        PyErr_SetString(PyExc_ValueError, "words have eight bytes each, and a step is positive");
        return NULL;
    }
    graft_anchors *anchors = graft_anchors_new(words.buf, (size_t)words.len / GRAFT_ANCHOR);
    PyBuffer_Release(&words);
    if (anchors == NULL)
        return PyErr_NoMemory();
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    anchors_object *self = (anchors_object *)allocate(type, 0);
    if (self == NULL) {
        graft_anchors_free(anchors);
        return NULL;
    }
    self->anchors = anchors;
    self->step = (size_t)step;
    return (PyObject *)self;
}

static void free_anchors(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    graft_anchors_free(((anchors_object *)object)->anchors);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF((PyObject *)type);
}

static PyObject *hit_list(const graft_anchor_hits *hits)
{
    PyObject *list = PyList_New((Py_ssize_t)hits->count);
    for (size_t i = 0; list != NULL && i < hits->count; i++) {
        PyObject *hit = Py_BuildValue("nI", (Py_ssize_t)hits->items[i].offset,
                                      (unsigned)hits->items[i].index);
        if (hit == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, hit); /* takes the reference */
    }
    return list;
}

static PyObject *find(PyObject *object, PyObject *data)
{
    anchors_object *self = (anchors_object *)object;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    graft_anchor_hits hits = {0};
    PyThreadState *state = view.len > ALONE ? PyEval_SaveThread() : NULL;
    int failed = graft_anchors_find(self->anchors, view.buf, (size_t)view.len, self->step, &hits);
    if (state != NULL)
        PyEval_RestoreThread(state);
    PyBuffer_Release(&view);
    PyObject *list = failed ? PyErr_NoMemory() : hit_list(&hits);
    free(hits.items);
    return list;
}

static Py_ssize_t count(PyObject *object)
{
    return (Py_ssize_t)graft_anchors_count(((anchors_object *)object)->anchors);
}

static PyObject *step(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(((anchors_object *)object)->step);
}

static PyGetSetDef members[] = {
    {"step", step, NULL, "How far apart the places are that are looked at, in bytes.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"find", find, METH_O,
     "find($self, data, /)\n--\n\nOffset and index of every word that stands at a step."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Anchors(words, step=1)\n--\n\nWords of eight bytes that are looked for."},
    {Py_tp_new, new_anchors},
    {Py_tp_dealloc, free_anchors},
    {Py_tp_methods, methods},
    {Py_tp_getset, members},
    {Py_sq_length, count},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "graft.kernel.native._native.Anchors",
    .basicsize = sizeof(anchors_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

int graft_anchors_add_type(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type == NULL)
        return -1;
    anchors_type = (PyTypeObject *)type;
    return PyModule_AddObjectRef(module, "Anchors", type);
}

const graft_anchors *graft_anchors_of(PyObject *object, size_t *step)
{
    if (!PyObject_TypeCheck(object, anchors_type)) {
        PyErr_SetString(PyExc_TypeError, "Anchors of the native kernel are needed");
        return NULL;
    }
    *step = ((anchors_object *)object)->step;
    return ((anchors_object *)object)->anchors;
}

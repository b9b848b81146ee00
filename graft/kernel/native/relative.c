/* Operands of x86-64 code that are at a distance from their instruction, and where they lie. */
#include "relative.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { GRANULE = 16 };

/* Whether the granule of an address is marked: `marks` has a bit for each from `first` on. */
static int is_marked(const Py_buffer *marks, uint64_t first, uint64_t address)
{
    uint64_t granule = (address - first) / GRANULE;
    return address >= first && granule / 8 < (uint64_t)marks->len &&
           ((const uint8_t *)marks->buf)[granule / 8] >> (granule % 8) & 1;
}

typedef struct {
    size_t at;
    uint64_t target;
} operand;

typedef struct {
    operand *items;
    size_t count, room;
} operands;

static int append(operands *list, size_t at, uint64_t target)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        operand *items = realloc(list->items, room * sizeof *items);
        if (items == NULL)
            return -1;
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = (operand){at, target};
    return 0;
}

/* The operands of the code between two places that is loaded at an address. 0, or -1: no memory. */
static int collect(const uint8_t *bytes, size_t start, size_t end, uint64_t address, uint64_t first,
                   const Py_buffer *marks, operands *list)
{
    for (size_t at = start; at + 5 <= end; at++) {
        if ((bytes[at] & 0xC7) != 0x05)
            continue;
        int32_t distance;
        memcpy(&distance, bytes + at + 1, sizeof distance);
        uint64_t target = address + (at - start) + 5 + (uint64_t)(int64_t)distance;
        if (is_marked(marks, first, target) && append(list, at, target) < 0)
            return -1;
    }
    return 0;
}

static PyObject *pairs(const operands *list)
{
    PyObject *result = PyList_New((Py_ssize_t)list->count);
    for (size_t i = 0; result != NULL && i < list->count; i++) {
        PyObject *pair = Py_BuildValue("nK", (Py_ssize_t)list->items[i].at,
                                       (unsigned long long)list->items[i].target);
        if (pair == NULL)
            Py_CLEAR(result);
        else
            PyList_SetItem(result, (Py_ssize_t)i, pair); /* takes the reference */
    }
    return result;
}

static PyObject *relative_operands(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer code, marks;
    Py_ssize_t start, end;
    unsigned long long address, first;
    if (!PyArg_ParseTuple(args, "y*nnKKy*:relative_operands", &code, &start, &end, &address, &first,
                          &marks))
        return NULL;
    operands list = {0};
    end = end > code.len ? code.len : end;
    int failed = 0;
    if (start >= 0 && end > start) {
        PyThreadState *state = PyEval_SaveThread();
        failed = collect(code.buf, (size_t)start, (size_t)end, address, first, &marks, &list);
        PyEval_RestoreThread(state);
    }
    PyBuffer_Release(&code);
    PyBuffer_Release(&marks);
    PyObject *result = failed ? PyErr_NoMemory() : pairs(&list);
    free(list.items);
    return result;
}

static PyMethodDef functions[] = {
    {"relative_operands", relative_operands, METH_VARARGS,
     "relative_operands($module, data, start, end, address, first, marks, /)\n--\n\n"
     "Where ModRM bytes are whose operands lie in marked granules, and the operands' addresses."},
    {NULL, NULL, 0, NULL},
};

int graft_relative_add(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}

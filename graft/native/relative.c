/* Operands of x86-64 code that are at a distance from their instruction, and where they lie. */
#include "relative.h"

#include <stdint.h>
#include <string.h>

enum { GRANULE = 16 };

/* Whether the granule of an address is marked: `marks` has a bit for each from `first` on. */
static int is_marked(const Py_buffer *marks, uint64_t first, uint64_t address)
{
    uint64_t granule = (address - first) / GRANULE;
    return address >= first && granule / 8 < (uint64_t)marks->len &&
           ((const uint8_t *)marks->buf)[granule / 8] >> (granule % 8) & 1;
}

static int append(PyObject *list, Py_ssize_t at, uint64_t target)
{
    PyObject *found = Py_BuildValue("nK", at, (unsigned long long)target);
    int failed = found == NULL || PyList_Append(list, found) < 0;
    Py_XDECREF(found);
    return failed ? -1 : 0;
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
    PyObject *list = PyList_New(0);
    if (end > code.len)
        end = code.len;
    const uint8_t *bytes = code.buf;
    for (Py_ssize_t at = start < 0 ? 0 : start; list != NULL && at + 5 <= end; at++) {
        if ((bytes[at] & 0xC7) != 0x05)
            continue;
        int32_t distance;
        memcpy(&distance, bytes + at + 1, sizeof distance);
        uint64_t target = address + (uint64_t)(at - start) + 5 + (uint64_t)(int64_t)distance;
        if (is_marked(&marks, first, target) && append(list, at, target) < 0)
            Py_CLEAR(list);
    }
    PyBuffer_Release(&code);
    PyBuffer_Release(&marks);
    return list;
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

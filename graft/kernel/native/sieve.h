/* The Python type `Sieve`: bytes in memory, looked through as a walk looks through a file. And the
 * suspicions of both, as Python hands them over. */
#ifndef GRAFT_SIEVE_H
#define GRAFT_SIEVE_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "tree.h"

typedef struct {
    graft_suspicion items[GRAFT_SUSPICIONS];
    graft_magic *magics;
    size_t count;
} suspicions_argument;

/* Reads a tuple of suspicions into an argument that is all zero. The anchors and bytes stay the Python
 * objects'; `magics` is to be given back with PyMem_Free, whatever happens. 0, or -1 with an
 * exception set. */
int graft_read_suspicions(PyObject *object, suspicions_argument *a);

/* Adds the type `Sieve` to the module being initialised. 0, or -1 with an exception set. */
int graft_sieve_add_type(PyObject *module);

#endif

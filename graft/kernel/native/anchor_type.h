/* The Python type `Anchors` over graft_anchors: what kernel/anchors.py offers where it was built. */
#ifndef GRAFT_ANCHOR_TYPE_H
#define GRAFT_ANCHOR_TYPE_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "anchors.h"

/* Adds the type `Anchors` to the module being initialised. 0, or -1 with an exception set. */
int graft_anchors_add_type(PyObject *module);

/* The anchors inside an Anchors object, and their step; NULL with TypeError set if it is none.
 * Borrowed. */
const graft_anchors *graft_anchors_of(PyObject *object, size_t *step);

#endif

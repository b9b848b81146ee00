/* The Python function `relative_operands`: what fragments/x86.py finds slowly. */
#ifndef GRAFT_RELATIVE_H
#define GRAFT_RELATIVE_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Adds the function to the module being initialised. 0, or -1 with an exception set. */
int graft_relative_add(PyObject *module);

#endif

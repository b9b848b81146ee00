/* The Python function `crc32c`: what kernel/crc32c.py computes slowly. */
#ifndef GRAFT_CRC32C_H
#define GRAFT_CRC32C_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Adds the function to the module being initialised. 0, or -1 with an exception set. */
int graft_crc32c_add(PyObject *module);

#endif

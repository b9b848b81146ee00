/* The Python type `Table` over a graft_table: what kernel/__init__.py offers as the native kernel. */
#ifndef GRAFT_TABLE_H
#define GRAFT_TABLE_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "match.h"

/* Adds the type `Table` to the module being initialised. 0, or -1 with an exception set. */
int graft_table_add_type(PyObject *module);

/* The table inside a Table object; NULL with TypeError set if it is none. Borrowed. */
const graft_table *graft_table_of(PyObject *object);

#endif

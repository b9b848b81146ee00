/* Eight bytes at a time, each looked up in a table of its own: 1.5 ns a byte in the worst case,
 * and no instruction that not all processors have. */
#include "crc32c.h"

#include <stdint.h>

static const uint32_t POLYNOMIAL = 0x82F63B78u;

static uint32_t tables[8][256];

static void make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t sum = byte;
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? POLYNOMIAL : 0);
        tables[0][byte] = sum;
    }
    for (int i = 1; i < 8; i++)
        for (int byte = 0; byte < 256; byte++)
            tables[i][byte] = tables[i - 1][byte] >> 8 ^ tables[0][tables[i - 1][byte] & 255];
}

static uint32_t advanced(uint32_t sum, const uint8_t *bytes, size_t length)
{
    for (; length >= 8; bytes += 8, length -= 8)
        sum = tables[7][(sum ^ bytes[0]) & 255] ^ tables[6][(sum >> 8 ^ bytes[1]) & 255] ^
              tables[5][(sum >> 16 ^ bytes[2]) & 255] ^ tables[4][sum >> 24 ^ bytes[3]] ^
              tables[3][bytes[4]] ^ tables[2][bytes[5]] ^ tables[1][bytes[6]] ^ tables[0][bytes[7]];
    for (size_t i = 0; i < length; i++)
        sum = sum >> 8 ^ tables[0][(sum ^ bytes[i]) & 255];
    return sum;
}

static PyObject *crc32c(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer data;
    unsigned long sum;
    if (!PyArg_ParseTuple(args, "y*k:crc32c", &data, &sum))
        return NULL;
    PyThreadState *state = PyEval_SaveThread();
    sum = advanced((uint32_t)sum, data.buf, (size_t)data.len);
    PyEval_RestoreThread(state);
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLong(sum);
}

static PyMethodDef functions[] = {
    {"crc32c", crc32c, METH_VARARGS,
     "crc32c($module, data, register, /)\n--\n\nThe register of CRC-32C after some bytes."},
    {NULL, NULL, 0, NULL},
};

int graft_crc32c_add(PyObject *module)
{
    make_tables();
    return PyModule_AddFunctions(module, functions);
}

/* Beginnings of streams: packed or archived contents at any offset of some bytes. No Python.h. */
#ifndef GRAFT_STREAMS_H
#define GRAFT_STREAMS_H

#include <stddef.h>
#include <stdint.h>

/* The kinds, in the order of graft/kernel/streams.py. */
enum graft_stream_kind {
    GRAFT_GZIP,
    GRAFT_ZLIB,
    GRAFT_XZ,
    GRAFT_LZMA,
    GRAFT_ZSTD,
    GRAFT_BZIP2,
    GRAFT_LZ4,
    GRAFT_ZIP,
    GRAFT_ZIP_END,
    GRAFT_SQUASHFS,
    GRAFT_EROFS,
    GRAFT_ISO,
    GRAFT_CPIO,
    GRAFT_AR,
    GRAFT_LZIP,
    GRAFT_7Z,
    GRAFT_RAR,
    GRAFT_CAB,
    GRAFT_SNAPPY,
    GRAFT_PHAR,
    GRAFT_BASE64, /* a stream in a text that spells it */
    GRAFT_HEX,
    GRAFT_DECIMAL,
    GRAFT_STREAM_KINDS
};

typedef struct {
    size_t offset; /* of the stream's first byte; for an end record, of the record */
    enum graft_stream_kind kind;
} graft_stream;

typedef struct {
    graft_stream *items;
    size_t count, room;
} graft_stream_list;

/* Appends the plausible beginnings in the bytes, in the order of their offsets. `final`: the bytes
 * end where the file does; else a beginning that needs more bytes to be judged counts as one.
 * 0, or -1: no memory. */
int graft_streams_find(const uint8_t *bytes, size_t length, int final, graft_stream_list *list);

/* Whether there is one that begins before `to`. `base`: how far from the file's beginning these bytes
 * are. */
int graft_streams_stand(const uint8_t *bytes, size_t length, size_t to, uint64_t base, int final);

#endif

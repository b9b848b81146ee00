/* A stream is told by its first bytes, at any offset. Two bytes of many offsets are those of one by
 * accident; so what follows them is weighed before anybody tries to open it: fields of the header
 * that can have few values, and of deflated data the first symbols. */
#include "streams.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "deflate.h"
#include "spelled.h"

enum { NO = 0, YES = 1, MORE = -1 };

typedef struct {
    const uint8_t *bytes; /* from the beginning on */
    size_t length;
    uint64_t before; /* bytes of the file in front of it */
} place;

static uint32_t u16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const uint8_t *p)
{
    return u16(p) | u16(p + 2) << 16;
}

static uint64_t u64(const uint8_t *p)
{
    return u32(p) | (uint64_t)u32(p + 4) << 32;
}

static int gzip(const place *p)
{
    if (p->length < 10)
        return MORE;
    const uint8_t *b = p->bytes;
    if (b[2] != 8 || b[3] & 0xE0 || (b[8] != 0 && b[8] != 2 && b[8] != 4) || (b[9] > 13 && b[9] != 255))
        return NO;
    graft_deflated out;
    return b[3] ? YES : graft_deflate_begins(b + 10, p->length - 10, &out);
}

static uint32_t crc32(const uint8_t *bytes, size_t length)
{
    uint32_t sum = ~0u;
    for (size_t i = 0; i < length; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (0xEDB88320u & (~(sum & 1) + 1));
    }
    return ~sum;
}

static uint32_t adler32(const uint8_t *bytes, size_t length)
{
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < length; i++) {
        a = (a + bytes[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

static int zlib(const place *p)
{
    graft_deflated out;
    int answer = graft_deflate_begins(p->bytes + 2, p->length - 2, &out);
    if (answer != YES || !out.end || out.made > GRAFT_DEFLATE_KEPT)
        return answer;
    if (p->length - 2 - out.end < 4)
        return MORE;
    const uint8_t *end = p->bytes + 2 + out.end;
    uint32_t sum = (uint32_t)end[0] << 24 | (uint32_t)end[1] << 16 | (uint32_t)end[2] << 8 | end[3];
    return sum == adler32(out.bytes, out.made);
}

static int xz(const place *p)
{
    if (p->length < 8)
        return MORE;
    uint8_t check = p->bytes[7];
    return !memcmp(p->bytes, "\xFD" "7zXZ\0\0", 7) && (check <= 1 || check == 4 || check == 10);
}

static int lzma(const place *p)
{
    if (p->length < 14)
        return MORE;
    uint32_t window = u32(p->bytes + 1), lowest = window & (~window + 1);
    uint64_t size = u64(p->bytes + 5);
    if (window < 1 << 16 || (window != lowest && window != 3 * lowest))
        return NO;
    return p->bytes[13] == 0 && (size == UINT64_MAX || (size >= 32 && size < (uint64_t)1 << 38));
}

static int zstd(const place *p)
{
    if (p->length < 5)
        return MORE;
    if (p->bytes[2] != 0x2F || p->bytes[3] != 0xFD || p->bytes[4] & 0x08)
        return NO;
    static const uint8_t dictionary[4] = {0, 1, 2, 4}, content[4] = {0, 2, 4, 8};
    uint8_t flags = p->bytes[4];
    int single = flags >> 5 & 1;
    size_t block = 5 + !single + dictionary[flags & 3] + (flags >> 6 ? content[flags >> 6] : single);
    if (p->length < block + 3)
        return MORE;
    uint32_t header = u16(p->bytes + block) | (uint32_t)p->bytes[block + 2] << 16;
    return (header >> 1 & 3) != 3 && ((header >> 1 & 3) == 1 || header >> 3 <= 1 << 17);
}

static int bzip2(const place *p)
{
    if (p->length < 10)
        return MORE;
    return p->bytes[2] == 'h' && p->bytes[3] >= '1' && p->bytes[3] <= '9' &&
           !memcmp(p->bytes + 4, "1AY&SY", 6);
}

static int lz4(const place *p)
{
    if (p->length < 6)
        return MORE;
    uint8_t size = p->bytes[5];
    return p->bytes[2] == 0x4D && p->bytes[3] == 0x18 && p->bytes[4] >> 6 == 1 && !(p->bytes[4] & 2) &&
           !(size & 0x8F) && size >> 4 >= 4;
}

static int zip(const place *p)
{
    if (p->length < 30)
        return MORE;
    uint32_t method = u16(p->bytes + 8), name = u16(p->bytes + 26);
    for (size_t i = 30; i < p->length && i < 30 + (name < 8 ? name : 8); i++)
        if (p->bytes[i] < ' ')
            return NO;
    return p->bytes[4] <= 63 && (method <= 19 || (method >= 93 && method <= 99)) && name > 0 &&
           name <= 4096;
}

static int zip_end(const place *p)
{
    if (p->length < 22)
        return MORE;
    const uint8_t *b = p->bytes;
    uint32_t size = u32(b + 12);
    if (u16(b + 4) != u16(b + 6) || u16(b + 8) != u16(b + 10))
        return NO;
    return size == UINT32_MAX || size <= p->before;
}

static int squashfs(const place *p)
{
    if (p->length < 32)
        return MORE;
    uint32_t log = u16(p->bytes + 22);
    return log >= 12 && log <= 20 && u32(p->bytes + 12) == 1u << log && u16(p->bytes + 28) == 4;
}

static int erofs(const place *p)
{
    if (p->length < 14)
        return MORE;
    return p->bytes[2] == 0xF5 && p->bytes[3] == 0xE0 && p->bytes[12] >= 9 && p->bytes[12] <= 16 &&
           p->before >= 1024;
}

static int iso(const place *p)
{
    if (p->length < 7)
        return MORE;
    return !memcmp(p->bytes, "\1CD001\1", 7) && p->before >= 32768;
}

static int cpio(const place *p)
{
    enum { HEADER = 110 };
    if (p->length < HEADER)
        return MORE;
    if (memcmp(p->bytes, "07070", 5) || (p->bytes[5] != '1' && p->bytes[5] != '2'))
        return NO;
    for (size_t i = 6; i < HEADER; i++) {
        uint8_t c = p->bytes[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F'))
            return NO;
    }
    return YES;
}

static int ar(const place *p)
{
    if (p->length < 68)
        return MORE;
    return !memcmp(p->bytes, "!<arch>\n", 8) && p->bytes[66] == '`' && p->bytes[67] == '\n';
}

static int lzip(const place *p)
{
    if (p->length < 6)
        return MORE;
    unsigned window = p->bytes[5] & 31;
    return !memcmp(p->bytes, "LZIP\1", 5) && window >= 12 && window <= 29;
}

static int seven_zip(const place *p)
{
    enum { HEADER = 32, SUMMED = 12 };
    if (p->length < HEADER)
        return MORE;
    return !memcmp(p->bytes, "7z\xBC\xAF\x27\x1C\0", 7) &&
           crc32(p->bytes + SUMMED, HEADER - SUMMED) == u32(p->bytes + 8);
}

static int rar(const place *p)
{
    if (p->length < 14)
        return MORE;
    const uint8_t *b = p->bytes;
    if (memcmp(b, "Rar!\x1A\7", 6))
        return NO;
    /* The main header follows: of version 4 its type and its size, of version 5 its size and type. */
    return (!b[6] && b[9] == 0x73 && b[12] == 13 && !b[13]) ||
           (b[6] == 1 && !b[7] && b[12] >= 3 && b[12] < 64 && b[13] == 1);
}

static int cab(const place *p)
{
    if (p->length < 36)
        return MORE;
    return !memcmp(p->bytes, "MSCF\0\0\0\0", 8) && !u32(p->bytes + 12) && p->bytes[25] == 1;
}

static int snappy(const place *p)
{
    if (p->length < 10)
        return MORE;
    return !memcmp(p->bytes, "\xFF\6\0\0sNaPpY", 10);
}

/* The end of a PHP archive's stub, and its manifest: a size, a count of files, a version. */
static int phar(const place *p)
{
    enum { STUB = 16, HEADER = 10 };
    static const char *const ends[] = {" ?>\r\n", " ?>\n", "?>\r\n", "?>\n", ""};
    if (p->length < STUB + 5 + HEADER)
        return MORE;
    if (memcmp(p->bytes, "HALT_COMPILER();", STUB))
        return NO;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t length = strlen(ends[i]);
        const uint8_t *b = p->bytes + STUB + length;
        if (!memcmp(p->bytes + STUB, ends[i], length))
            return u32(b) >= HEADER && u32(b) < 1u << 26 && u32(b + 4) > 0 && u32(b + 4) < 1u << 20 &&
                   b[8] >> 4 == 1 && b[8] <= 0x11;
    }
    return NO;
}

typedef struct {
    uint8_t first, second;
    enum graft_stream_kind kind;
    int (*judge)(const place *);
} beginning;

enum { BROKEN_OFF = 16 }; /* bytes; deflated data that breaks off can be unpacked until there */

static int spelled(const place *p, enum graft_spelling spelling)
{
    static const struct {
        const char *magic;
        size_t length;
        int deflated;
        int (*judge)(const place *);
    } kinds[] = {
        {"\x1F\x8B\x08", 3, 1, gzip},      {"\x78\x01", 2, 1, zlib},
        {"\x78\x5E", 2, 1, zlib},          {"\x78\x9C", 2, 1, zlib},
        {"\x78\xDA", 2, 1, zlib},          {"\xFD" "7zX", 4, 0, xz},
        {"\x5D\0\0", 3, 0, lzma},          {"\x28\xB5\x2F\xFD", 4, 0, zstd},
        {"BZh", 3, 0, bzip2},              {"\x04\x22\x4D\x18", 4, 0, lz4},
        {"PK\3\4", 4, 0, zip},
    };
    enum { KINDS = sizeof kinds / sizeof *kinds };
    uint8_t text[GRAFT_SPELLED];
    int ends;
    size_t made = graft_unspell(spelling, p->bytes, p->length, text, 4, &ends), i = 0;
    while (i < KINDS && memcmp(text, kinds[i].magic, kinds[i].length < made ? kinds[i].length : made))
        i++;
    if (i == KINDS)
        return NO;
    made = graft_unspell(spelling, p->bytes, p->length, text, sizeof text, &ends);
    place of = {.bytes = text, .length = made, .before = p->before};
    for (; i < KINDS; i++) {
        size_t length = kinds[i].length < made ? kinds[i].length : made;
        if (memcmp(text, kinds[i].magic, length))
            continue;
        int answer = length < kinds[i].length ? MORE : kinds[i].judge(&of);
        if (answer == MORE && ends)
            answer = made >= BROKEN_OFF && kinds[i].deflated;
        if (answer == MORE && made == sizeof text)
            return YES; /* so long is only a stream's own table of codes, or what it has as it is */
        if (answer != NO)
            return answer;
    }
    return NO;
}

static int base64(const place *p)
{
    return spelled(p, GRAFT_SPELLED_BASE64);
}

static int hex(const place *p)
{
    return spelled(p, GRAFT_SPELLED_HEX);
}

static int decimal(const place *p)
{
    return spelled(p, GRAFT_SPELLED_DECIMAL);
}

#define ZLIB(first, a, b, c, d)                                                                     \
    {first, a, GRAFT_ZLIB, zlib}, {first, b, GRAFT_ZLIB, zlib}, {first, c, GRAFT_ZLIB, zlib},       \
        {first, d, GRAFT_ZLIB, zlib}

/* In the order of their first bytes, and of the kinds. */
static const beginning beginnings[] = {
    {0x01, 'C', GRAFT_ISO, iso},
    {0x04, 0x22, GRAFT_LZ4, lz4},
    ZLIB(0x08, 0x1D, 0x5B, 0x99, 0xD7),
    ZLIB(0x18, 0x19, 0x57, 0x95, 0xD3),
    {0x1F, 0x8B, GRAFT_GZIP, gzip},
    {'!', '<', GRAFT_AR, ar},
    ZLIB(0x28, 0x15, 0x53, 0x91, 0xCF),
    {0x28, 0xB5, GRAFT_ZSTD, zstd},
    {'/', 'T', GRAFT_BASE64, base64}, /* xz */
    {'0', '7', GRAFT_CPIO, cpio},
    {'0', '4', GRAFT_HEX, hex},       /* lz4 */
    {'1', 'F', GRAFT_HEX, hex},         /* gzip */
    {'1', 'f', GRAFT_HEX, hex},
    {'1', '2', GRAFT_DECIMAL, decimal}, /* 120: zlib */
    {'2', '8', GRAFT_HEX, hex},         /* zstd */
    {'2', '5', GRAFT_DECIMAL, decimal}, /* 253: xz */
    {'3', '1', GRAFT_DECIMAL, decimal}, /* gzip */
    {'4', '2', GRAFT_HEX, hex},         /* bzip2 */
    {'4', '0', GRAFT_DECIMAL, decimal}, /* zstd */
    {'5', '0', GRAFT_HEX, hex},         /* zip */
    {'5', 'D', GRAFT_HEX, hex},         /* lzma */
    {'5', 'd', GRAFT_HEX, hex},
    {'6', '6', GRAFT_DECIMAL, decimal}, /* bzip2 */
    {'7', 'z', GRAFT_7Z, seven_zip},
    {'7', '8', GRAFT_HEX, hex},         /* zlib */
    ZLIB(0x38, 0x11, 0x4F, 0x8D, 0xCB),
    {'8', '0', GRAFT_DECIMAL, decimal}, /* zip */
    {'9', '3', GRAFT_DECIMAL, decimal}, /* lzma */
    {'B', 'Z', GRAFT_BZIP2, bzip2},
    {'B', 'C', GRAFT_BASE64, base64},   /* lz4 */
    {'F', 'D', GRAFT_HEX, hex}, /* xz */
    ZLIB(0x48, 0x0D, 0x4B, 0x89, 0xC7),
    {'H', 'A', GRAFT_PHAR, phar},
    {'H', '4', GRAFT_BASE64, base64}, /* gzip */
    {'K', 'L', GRAFT_BASE64, base64}, /* zstd */
    {'L', 'Z', GRAFT_LZIP, lzip},
    {'M', 'S', GRAFT_CAB, cab},
    {'P', 'K', GRAFT_ZIP, zip},
    {'P', 'K', GRAFT_ZIP_END, zip_end},
    {'Q', 'l', GRAFT_BASE64, base64}, /* bzip2 */
    {'R', 'a', GRAFT_RAR, rar},
    {'U', 'E', GRAFT_BASE64, base64}, /* zip */
    ZLIB(0x58, 0x09, 0x47, 0x85, 0xC3),
    {'X', 'Q', GRAFT_BASE64, base64}, /* lzma */
    {0x5D, 0x00, GRAFT_LZMA, lzma},
    {'_', 'T', GRAFT_BASE64, base64}, /* xz in the alphabet for URLs */
    {'e', 'A', GRAFT_BASE64, base64}, /* zlib */
    {'e', 'F', GRAFT_BASE64, base64},
    {'e', 'J', GRAFT_BASE64, base64},
    {'e', 'N', GRAFT_BASE64, base64},
    {'f', 'd', GRAFT_HEX, hex},
    ZLIB(0x68, 0x05, 0x43, 0x81, 0xDE),
    {'h', 's', GRAFT_SQUASHFS, squashfs},
    ZLIB(0x78, 0x01, 0x5E, 0x9C, 0xDA), /* a window of 32 KiB; the others are smaller */
    {0xE2, 0xE1, GRAFT_EROFS, erofs},
    {0xFD, '7', GRAFT_XZ, xz},
    {0xFF, 0x06, GRAFT_SNAPPY, snappy},
};

enum { BEGINNINGS = sizeof beginnings / sizeof *beginnings };

/* More than two bytes that all of a kind have, where there are. */
static const struct {
    uint8_t length; /* 0: the judge of a spelled one sees to that */
    char bytes[5];
} magics[GRAFT_STREAM_KINDS] = {
    [GRAFT_GZIP] = {3, "\x1F\x8B\x08"},  [GRAFT_XZ] = {4, "\xFD" "7zX"},
    [GRAFT_LZMA] = {3, {0x5D, 0, 0}},    [GRAFT_ZSTD] = {4, "\x28\xB5\x2F\xFD"},
    [GRAFT_BZIP2] = {3, "BZh"},          [GRAFT_LZ4] = {4, "\x04\x22\x4D\x18"},
    [GRAFT_ZIP] = {4, "PK\3\4"},         [GRAFT_ZIP_END] = {4, "PK\5\6"},
    [GRAFT_SQUASHFS] = {4, "hsqs"},      [GRAFT_EROFS] = {4, "\xE2\xE1\xF5\xE0"},
    [GRAFT_ISO] = {4, "\1CD0"},          [GRAFT_CPIO] = {4, "0707"},
    [GRAFT_AR] = {4, "!<ar"},            [GRAFT_LZIP] = {4, "LZIP"},
    [GRAFT_7Z] = {4, "7z\xBC\xAF"},      [GRAFT_RAR] = {4, "Rar!"},
    [GRAFT_CAB] = {4, "MSCF"},           [GRAFT_SNAPPY] = {4, "\xFF\6\0\0"},
    [GRAFT_PHAR] = {4, "HALT"},
};

static int has_magic(enum graft_stream_kind kind, const uint8_t *b, size_t length)
{
    size_t wanted = magics[kind].length;
    for (size_t i = 2; i < wanted && i < length; i++)
        if (b[i] != (uint8_t)magics[kind].bytes[i])
            return 0;
    return 1;
}

/* For each nibble of a first, a second and a third byte the groups of beginnings that have it: an
 * offset whose bytes have a group in common, in both nibbles of each, may be one. zlib's, which x86
 * code is full of, are in no group: for the upper half of a first byte there are four second ones.
 * And for each first byte its beginnings. */
static struct {
    uint8_t low[3][16], high[3][16];
    uint8_t zlib[4][16];
    uint8_t from[256], to[256];
    uint8_t pairs[1 << 13]; /* a bit for each two bytes */
} prepared;

/* The group of a beginning, of eight. Pairs that share nibbles share a group: so 7 % of the offsets
 * in Python's sources pass, and 37 % with the pairs dealt out in turn. */
static unsigned group_of(const beginning *b)
{
    uint8_t first = b->first;
    if (b->kind == GRAFT_ZIP || b->kind == GRAFT_ZIP_END || b->kind == GRAFT_ZSTD)
        return 0;
    if (first < ' ')
        return 1;
    if (first >= '0' && first <= '9' && b->kind != GRAFT_7Z)
        return 2;
    if (first == 0x5D || strchr("e/_", first))
        return 3;
    if (first == 'f' || first == 'F')
        return 4;
    if (b->kind == GRAFT_BASE64)
        return 5;
    return first < 0x3A || first >= 0x80 ? 6 : 7;
}

static int is_third(const beginning *b, uint8_t third)
{
    static const char thirds[][6] = {"AEFGH", "F4567", "Jwxyz", "Nopqr"}; /* of zlib's, by the second */
    if (magics[b->kind].length >= 3)
        return third == (uint8_t)magics[b->kind].bytes[2];
    if (b->kind < GRAFT_BASE64)
        return 1;
    if (b->kind == GRAFT_BASE64) {
        for (size_t i = 0; b->first == 'e' && i < sizeof thirds / sizeof *thirds; i++)
            if (thirds[i][0] == b->second)
                return third && memchr(thirds[i] + 1, third, 4) != NULL;
        return third && strchr("sdUpJKA", third) != NULL;
    }
    return third && strchr("0123456789bBdD \t\r\n,;:.-\"'\\%=&#{}", third) != NULL;
}

static void prepare(void)
{
    graft_deflate_prepare();
    unsigned zlibs = 0;
    for (unsigned i = 0; i < BEGINNINGS; i++) {
        const uint8_t two[2] = {beginnings[i].first, beginnings[i].second};
        unsigned group = group_of(&beginnings[i]);
        if (beginnings[i].kind == GRAFT_ZLIB)
            prepared.zlib[zlibs++ % 4][two[0] >> 4] = two[1];
        for (unsigned k = 0; k < 2 && beginnings[i].kind != GRAFT_ZLIB; k++) {
            prepared.low[k][two[k] & 15] |= (uint8_t)(1u << group);
            prepared.high[k][two[k] >> 4] |= (uint8_t)(1u << group);
        }
        for (unsigned third = 0; third < 256; third++)
            if (beginnings[i].kind != GRAFT_ZLIB && is_third(&beginnings[i], (uint8_t)third)) {
                prepared.low[2][third & 15] |= (uint8_t)(1u << group);
                prepared.high[2][third >> 4] |= (uint8_t)(1u << group);
            }
        unsigned pair = two[0] | (unsigned)two[1] << 8;
        prepared.pairs[pair >> 3] |= (uint8_t)(1u << (pair & 7));
        if (i == 0 || beginnings[i - 1].first != two[0])
            prepared.from[two[0]] = (uint8_t)i;
        prepared.to[two[0]] = (uint8_t)(i + 1);
    }
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

typedef int (*taker)(void *, size_t offset, enum graft_stream_kind kind);

typedef struct {
    const uint8_t *bytes;
    size_t length;
    size_t to;     /* beginnings are before this offset */
    uint64_t base; /* offset of the bytes in their file */
    int final;     /* the bytes end where the file does */
    taker take;
    void *list;
} search;

/* What begins at an offset; as `scan`. */
static int look(const search *s, size_t at)
{
    place here = {.bytes = s->bytes + at, .length = s->length - at, .before = s->base + at};
    uint8_t first = here.bytes[0];
    for (unsigned i = prepared.from[first]; i < prepared.to[first]; i++) {
        const beginning *b = &beginnings[i];
        if ((here.length > 1 && here.bytes[1] != b->second) ||
            (here.length == 1 && i > prepared.from[first] && b->kind == b[-1].kind) ||
            !has_magic(b->kind, here.bytes, here.length))
            continue;
        int answer = here.length > 1 ? b->judge(&here) : MORE;
        if (answer == MORE && s->final)
            answer = (b->kind == GRAFT_ZLIB || b->kind == GRAFT_GZIP || b->kind >= GRAFT_BASE64) &&
                     here.length >= BROKEN_OFF;
        if (answer != NO) {
            int stop = s->take(s->list, at, b->kind);
            if (stop)
                return stop;
        }
    }
    return 0;
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static int scan_avx2(const search *s, size_t *from)
{
    __m256i table[6];
    for (unsigned k = 0; k < 3; k++) {
        table[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)prepared.low[k]));
        table[3 + k] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)prepared.high[k]));
    }
    __m256i second[4];
    for (unsigned k = 0; k < 4; k++)
        second[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)prepared.zlib[k]));
    const __m256i low = _mm256_set1_epi8(15);
    size_t at = *from;
    for (; at + 32 + 2 + GRAFT_DEFLATE_AHEAD <= s->length && at + 32 <= s->to; at += 32) {
        __m256i v[3], high[3], groups = _mm256_set1_epi8(-1);
        for (unsigned k = 0; k < 3; k++) {
            v[k] = _mm256_loadu_si256((const __m256i *)(s->bytes + at + k));
            high[k] = _mm256_and_si256(_mm256_srli_epi16(v[k], 4), low);
            groups = _mm256_and_si256(groups, _mm256_shuffle_epi8(table[k], _mm256_and_si256(v[k], low)));
            groups = _mm256_and_si256(groups, _mm256_shuffle_epi8(table[3 + k], high[k]));
        }
        __m256i zlibs = _mm256_setzero_si256();
        for (unsigned k = 0; k < 4; k++)
            zlibs = _mm256_or_si256(zlibs, _mm256_cmpeq_epi8(v[1], _mm256_shuffle_epi8(second[k], high[0])));
        zlibs = _mm256_and_si256(zlibs, _mm256_cmpeq_epi8(_mm256_and_si256(v[0], _mm256_set1_epi8((char)0x8F)),
                                                          _mm256_set1_epi8(8)));
        /* no block is of the third type */
        zlibs = _mm256_andnot_si256(
            _mm256_cmpeq_epi8(_mm256_and_si256(v[2], _mm256_set1_epi8(6)), _mm256_set1_epi8(6)), zlibs);
        uint32_t zlib_mask = (uint32_t)_mm256_movemask_epi8(zlibs);
        uint32_t mask =
            zlib_mask | ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(groups, _mm256_setzero_si256()));
        for (; mask; mask &= mask - 1) {
            unsigned bit = (unsigned)__builtin_ctz(mask);
            size_t here = at + bit;
            uint32_t pair = u16(s->bytes + here);
            if (zlib_mask >> bit & 1 ? !graft_deflate_may_begin(s->bytes + here + 2)
                                     : !(prepared.pairs[pair >> 3] >> (pair & 7) & 1))
                continue;
            int stop = look(s, here);
            if (stop)
                return stop;
        }
    }
    *from = at;
    return 0;
}
#endif

/* Hands every beginning on to `take`, until that is not content with 0: its answer. */
static int scan(const search *s)
{
    size_t at = 0;
    pthread_once(&once, prepare);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        int stop = scan_avx2(s, &at);
        if (stop)
            return stop;
    }
#endif
    for (; at < s->to; at++) {
        if (!prepared.to[s->bytes[at]])
            continue;
        int stop = look(s, at);
        if (stop)
            return stop;
    }
    return 0;
}

static int append(void *to, size_t offset, enum graft_stream_kind kind)
{
    graft_stream_list *list = to;
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        graft_stream *items = realloc(list->items, room * sizeof *items);
        if (items == NULL)
            return -1;
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = (graft_stream){.offset = offset, .kind = kind};
    return 0;
}

int graft_streams_find(const uint8_t *bytes, size_t length, int final, graft_stream_list *list)
{
    return scan(&(search){
        .bytes = bytes, .length = length, .to = length, .final = final, .take = append, .list = list});
}

static int stop_at_one(void *list, size_t offset, enum graft_stream_kind kind)
{
    (void)list;
    (void)offset;
    (void)kind;
    return 1;
}

int graft_streams_stand(const uint8_t *bytes, size_t length, size_t to, uint64_t base, int final)
{
    return scan(&(search){.bytes = bytes,
                          .length = length,
                          .to = to < length ? to : length,
                          .base = base,
                          .final = final,
                          .take = stop_at_one});
}

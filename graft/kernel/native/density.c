/* Of two bytes of a window the chance that they are equal is 1/256 in packed data, and far more in
 * anything else: text, code, tables. One window tells, so it is enough to look at some. */
#include "density.h"

#include <string.h>

enum {
    WINDOW = 256, /* bytes */
    LEAST = 64,   /* bytes of a last window that counts */
    WIDE = 2048,  /* stride in large files */
    WIDE_FROM = 1 << 20,
    MANY = 192, /* a dense window has fewer equal pairs than one of so many, */
    FEW = 512,  /* and more than one of so many: else it is a table of all bytes */
    SHORT_LEAST = 40, /* the same of data that is shorter than a window: chance weighs more */
    SHORT_MANY = 112,
    SHORT_FEW = 2048,
};

void graft_density_begin(graft_density *d, uint64_t size)
{
    memset(d, 0, sizeof *d);
    d->stride = size > WIDE_FROM ? WIDE : WINDOW;
}

static void close_window(graft_density *d, uint32_t many, uint32_t few)
{
    uint32_t all = d->filled * (d->filled - 1) / 2;
    d->windows++;
    if (d->pairs * many < all && d->pairs * few > all) {
        d->dense++;
        d->run++;
        if (d->run > d->longest)
            d->longest = d->run;
    } else {
        d->run = 0;
    }
    memset(d->counts, 0, sizeof d->counts);
    d->filled = d->pairs = 0;
}

/* Counts of some bytes that are frequent in what is not packed, and of all that are in text. */
typedef struct {
    unsigned of[4], text;
} frequency;

static inline __attribute__((always_inline)) frequency count(const uint8_t *bytes)
{
    frequency f = {{0}, 0};
    for (unsigned half = 0; half < WINDOW; half += WINDOW / 2) {
        uint8_t nul = 0, rex = 0, ones = 0, blank = 0, text = 0; /* of 128 bytes: no sum is too large */
        for (unsigned i = half; i < half + WINDOW / 2; i++) {
            nul += bytes[i] == 0;
            rex += bytes[i] == 0x48; /* of x86-64's code */
            ones += bytes[i] == 0xFF;
            blank += bytes[i] == ' ';
            text += (int8_t)bytes[i] >= ' ';
        }
        f.of[0] += nul;
        f.of[1] += rex;
        f.of[2] += ones;
        f.of[3] += blank;
        f.text += text;
    }
    return f;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static frequency count_avx2(const uint8_t *bytes)
{
    return count(bytes);
}
#endif

/* Whether a whole window has so many equal pairs that it is not dense, by a few bytes of it. Most
 * windows are told so, in a tenth of the time that the table of all bytes takes. */
static int is_sparse(const uint8_t *bytes)
{
#if defined(__x86_64__)
    frequency f = __builtin_cpu_supports("avx2") ? count_avx2(bytes) : count(bytes);
#else
    frequency f = count(bytes);
#endif
    enum { ALL = WINDOW * (WINDOW - 1) / 2, ENOUGH = (ALL + MANY - 1) / MANY, TEXTS = 0x80 - ' ' };
    unsigned each = f.text / TEXTS, more = f.text % TEXTS; /* as even as they can be */
    unsigned pairs = TEXTS * (each * (each - 1) / 2) + more * each;
    if (each && pairs >= ENOUGH)
        return 1;
    pairs = 0;
    for (unsigned i = 0; i < 4; i++)
        pairs += f.of[i] ? f.of[i] * (f.of[i] - 1) / 2 : 0;
    return pairs >= ENOUGH;
}

void graft_density_more(graft_density *d, const uint8_t *bytes, size_t length)
{
    while (length) {
        uint64_t at = d->passed % d->stride;
        size_t taken;
        if (at >= WINDOW) {
            taken = (size_t)(d->stride - at) < length ? (size_t)(d->stride - at) : length;
        } else {
            taken = (size_t)(WINDOW - at) < length ? (size_t)(WINDOW - at) : length;
            if (taken == WINDOW && is_sparse(bytes)) {
                d->windows++;
                d->run = 0;
                bytes += taken;
                length -= taken;
                d->passed += taken;
                continue;
            }
            uint32_t pairs = d->pairs;
            for (size_t i = 0; i < taken; i++)
                pairs += d->counts[bytes[i]]++;
            d->pairs = pairs;
            d->filled += (uint32_t)taken;
            if (d->filled == WINDOW)
                close_window(d, MANY, FEW);
        }
        bytes += taken;
        length -= taken;
        d->passed += taken;
    }
}

void graft_density_end(graft_density *d)
{
    if (!d->windows && d->filled >= SHORT_LEAST)
        close_window(d, SHORT_MANY, SHORT_FEW);
    else if (d->filled >= LEAST)
        close_window(d, MANY, FEW);
}

int graft_density_is(const graft_density *d, int mostly)
{
    if (mostly)
        return d->dense && d->dense * 4 >= d->windows * 3;
    if (d->stride == WINDOW)
        return d->longest >= 4 || (d->dense && d->dense * 16 >= d->windows);
    return d->longest >= 32 || (d->dense && d->dense * 64 >= d->windows);
}

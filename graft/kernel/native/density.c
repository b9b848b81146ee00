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

void graft_density_more(graft_density *d, const uint8_t *bytes, size_t length)
{
    while (length) {
        uint64_t at = d->passed % d->stride;
        size_t taken;
        if (at >= WINDOW) {
            taken = (size_t)(d->stride - at) < length ? (size_t)(d->stride - at) : length;
        } else {
            taken = (size_t)(WINDOW - at) < length ? (size_t)(WINDOW - at) : length;
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

/* Plain C, for every processor: 8 bytes at a time in one word. */
#include "search.h"

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define PAIRS UINT64_C(0x00FF00FF00FF00FF)    /* every other byte */
#define QUARTERS UINT64_C(0x000000FF000000FF) /* every fourth byte */

/* Zero exactly if every byte of `word` under `mask` (whole bytes) is one of 0x30..0x3F and
 * 0x60..0x7F: that is, bit 7 clear, bit 5 set, bit 4 or 6 set. All characters are, and little else
 * that is frequent. No carries: the shift brings bit 4 to bit 6 of the same byte. */
static inline uint64_t unlikely_bytes(uint64_t word, uint64_t mask)
{
    return (((word ^ EACH(0x20)) & EACH(0xA0)) | (~(word | word << 2) & EACH(0x40))) & mask;
}

/* Whether a run of stride 2 or 4 may cover the word. Byte order does not matter: a pattern read
 * backwards is a pattern of the same stride. */
static int may_be_wide(uint64_t word)
{
    uint64_t pairs = word & PAIRS ? word & ~PAIRS ? 0 : word : word >> 8;
    if (pairs == 0)
        return 0;
    if (unlikely_bytes(pairs, PAIRS) == 0)
        return 1;
    uint64_t quarters = pairs & QUARTERS ? pairs & ~QUARTERS ? 0 : pairs : pairs >> 16;
    return quarters != 0 && unlikely_bytes(quarters, QUARTERS) == 0;
}

static inline int may_cover(const uint8_t *bytes)
{
    uint64_t word = load64(bytes);
    return unlikely_bytes(word, ~UINT64_C(0)) == 0 ||
           (((word & PAIRS) == 0 || (word & ~PAIRS) == 0) && may_be_wide(word));
}

/* A window that lies in [-16, 48) covers the 8 bytes at 0, 24 or 48, for it has 32. */
static inline int may_hold_run(const uint8_t *block)
{
    return may_cover(block) || may_cover(block + 24) || may_cover(block + 48);
}

/* The lowest bits of the bytes of `word`, the first byte's first. */
static inline uint64_t low_bits(uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return (word & EACH(1)) * UINT64_C(0x0102040810204080) >> 56;
}

/* Without branches and look-ups, of which compilers make SIMD. */
static inline void classify(const uint8_t *bytes, uint64_t *characters, uint64_t *nuls)
{
    uint8_t is[64];
    for (unsigned i = 0; i < 64; i++) {
        uint8_t byte = bytes[i];
        uint8_t digit = (uint8_t)(byte - '0') < 10;
        uint8_t letter = (uint8_t)(byte - 'a') < 26;
        uint8_t missing = (byte == 'e') | (byte == 'o') | ((byte & 0xFE) == 't'); /* or 'u' */
        is[i] = (uint8_t)(digit | (letter & ~missing) | (byte == 0) << 1);
    }
    *characters = *nuls = 0;
    for (unsigned i = 0; i < 64; i += 8) {
        uint64_t word = load64(is + i);
        *characters |= low_bits(word) << i;
        *nuls |= low_bits(word >> 1) << i;
    }
}

static inline void gather(const uint8_t *from, unsigned stride, uint8_t *sixteen)
{
    for (unsigned i = 0; i < 16; i++)
        sixteen[i] = from[i * stride];
}

#include "windows.h"

static int runs_here(void)
{
    return 1;
}

const graft_variant graft_portable = {"portable", runs_here, find_windows};

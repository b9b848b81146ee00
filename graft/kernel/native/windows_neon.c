/* NEON: 16 bytes at a time, for every 64-bit ARM. */
#include "search.h"

#if defined(__aarch64__)

#include <arm_neon.h>

/* As in the AVX2 variant: bits for a byte's upper half that its lower half has as well. Bit 0: '0' to
 * '9'; 1: 'a' to 'n' but 'e'; 2: 'p' to 'z' but 't' and 'u'; 3: NUL. */
static inline uint8x16_t kind(uint8x16_t bytes)
{
    static const uint8_t lower[16] = {
        1 | 4 | 8, 1 | 2 | 4, 1 | 2 | 4, 1 | 2 | 4, 1 | 2, 1, 1 | 2 | 4, 1 | 2 | 4,
        1 | 2 | 4, 1 | 2 | 4, 2 | 4, 2, 2, 2, 2, 0};
    static const uint8_t upper[16] = {8, 0, 0, 1, 0, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0};
    return vandq_u8(vqtbl1q_u8(vld1q_u8(lower), vandq_u8(bytes, vdupq_n_u8(15))),
                    vqtbl1q_u8(vld1q_u8(upper), vshrq_n_u8(bytes, 4)));
}

/* Whether 16 bytes of the block, from a multiple of 16 on, are characters and NUL, and not all NUL. */
static inline int may_hold_run(const uint8_t *block)
{
    uint8x16_t any = vdupq_n_u8(0);
    for (unsigned i = 0; i < 64; i += 16) {
        uint8x16_t bytes = vld1q_u8(block + i);
        uint8x16_t good = vtstq_u8(kind(bytes), vdupq_n_u8(0xFF));
        /* All ones if each of the 16 is good: the least of them is. */
        any = vorrq_u8(any, vandq_u8(bytes, vdupq_n_u8(vminvq_u8(good))));
    }
    return vmaxvq_u8(any) != 0;
}

/* One bit for each of 64 bytes that are all ones or zero, the first byte's lowest. */
static inline uint64_t mask_of(const uint8x16_t parts[4])
{
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t bit = vld1q_u8(bits);
    uint8x16_t low = vpaddq_u8(vandq_u8(parts[0], bit), vandq_u8(parts[1], bit));
    uint8x16_t high = vpaddq_u8(vandq_u8(parts[2], bit), vandq_u8(parts[3], bit));
    low = vpaddq_u8(low, high);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(low, low)), 0);
}

static inline void classify(const uint8_t *bytes, uint64_t *characters, uint64_t *nuls)
{
    uint8x16_t is_character[4], is_nul[4];
    for (unsigned i = 0; i < 4; i++) {
        uint8x16_t part = vld1q_u8(bytes + 16 * i);
        is_character[i] = vtstq_u8(kind(part), vdupq_n_u8(7));
        is_nul[i] = vceqzq_u8(part);
    }
    *characters = mask_of(is_character);
    *nuls = mask_of(is_nul);
}

static inline void gather(const uint8_t *from, unsigned stride, uint8_t *sixteen)
{
    vst1q_u8(sixteen, stride == 2 ? vld2q_u8(from).val[0] : vld4q_u8(from).val[0]);
}

#include "windows.h"

static int runs_here(void)
{
    return 1; /* every processor of this kind has it */
}

const graft_variant graft_neon = {"neon", runs_here, find_windows};

#endif

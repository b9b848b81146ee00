/* AVX2: 32 bytes at a time, for x86-64 since 2013. */
#include "search.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi")
#endif

/* What a byte is: bits for its upper half that its lower half has as well. Bit 0: '0' to '9'; 1:
 * 'a' to 'n' but 'e'; 2: 'p' to 'z' but 't' and 'u'; 3: NUL. A byte above 0x7F is none of them: the
 * look-up by its lower half gives zero then. */
static inline __m256i kind(__m256i bytes)
{
    const __m256i lower = _mm256_setr_epi8(
        1 | 4 | 8, 1 | 2 | 4, 1 | 2 | 4, 1 | 2 | 4, 1 | 2, 1, 1 | 2 | 4, 1 | 2 | 4,
        1 | 2 | 4, 1 | 2 | 4, 2 | 4, 2, 2, 2, 2, 0,
        1 | 4 | 8, 1 | 2 | 4, 1 | 2 | 4, 1 | 2 | 4, 1 | 2, 1, 1 | 2 | 4, 1 | 2 | 4,
        1 | 2 | 4, 1 | 2 | 4, 2 | 4, 2, 2, 2, 2, 0);
    const __m256i upper = _mm256_setr_epi8(8, 0, 0, 1, 0, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0,
                                           8, 0, 0, 1, 0, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0);
    __m256i upper_half = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
    return _mm256_and_si256(_mm256_shuffle_epi8(lower, bytes),
                            _mm256_shuffle_epi8(upper, upper_half));
}

static inline __m256i load(const uint8_t *bytes)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)bytes);
}

/* Whether 16 bytes of the block, from a multiple of 16 on, are characters and NUL, and not all NUL. */
static inline int may_hold_run(const uint8_t *block)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i one = load(block), other = load(block + 32);
    __m256i one_bad = _mm256_cmpeq_epi8(kind(one), zero);
    __m256i other_bad = _mm256_cmpeq_epi8(kind(other), zero);
    /* Each 64 bits are the 16 bytes of one part, laid over each other. */
    __m256i bad = _mm256_or_si256(_mm256_unpacklo_epi64(one_bad, other_bad),
                                  _mm256_unpackhi_epi64(one_bad, other_bad));
    __m256i good = _mm256_cmpeq_epi64(bad, zero);
    if (_mm256_testz_si256(good, good))
        return 0;
    __m256i any = _mm256_or_si256(_mm256_unpacklo_epi64(one, other),
                                  _mm256_unpackhi_epi64(one, other));
    return !_mm256_testz_si256(good, any);
}

static inline void classify(const uint8_t *bytes, uint64_t *characters, uint64_t *nuls)
{
    const __m256i zero = _mm256_setzero_si256(), seven = _mm256_set1_epi8(7);
    __m256i one = load(bytes), other = load(bytes + 32);
    __m256i one_no = _mm256_cmpeq_epi8(_mm256_and_si256(kind(one), seven), zero);
    __m256i other_no = _mm256_cmpeq_epi8(_mm256_and_si256(kind(other), seven), zero);
    *characters = ~((uint64_t)(uint32_t)_mm256_movemask_epi8(one_no) |
                    (uint64_t)(uint32_t)_mm256_movemask_epi8(other_no) << 32);
    *nuls = (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(one, zero)) |
            (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(other, zero)) << 32;
}

/* The bytes between are NUL, or nobody looks at what becomes of them. */
static inline void gather(const uint8_t *from, unsigned stride, uint8_t *sixteen)
{
    const __m128i low_byte = _mm_set1_epi16(0xFF);
    __m128i parts[4];
    for (unsigned i = 0; i < stride; i++)
        parts[i] = _mm_loadu_si128((const __m128i *)(const void *)(from + 16 * i));
    if (stride == 4)
        for (unsigned i = 0; i < 2; i++)
            parts[i] = _mm_packs_epi32(parts[2 * i], parts[2 * i + 1]);
    _mm_storeu_si128((__m128i *)(void *)sixteen,
                     _mm_packus_epi16(_mm_and_si128(parts[0], low_byte),
                                      _mm_and_si128(parts[1], low_byte)));
}

#include "windows.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int runs_here(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}

const graft_variant graft_avx2 = {"avx2", runs_here, find_windows};

#endif

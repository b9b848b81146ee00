/* Random bytes fail within a few symbols: no code is like that, or a distance leads before the first
 * byte. Little is unpacked, only as much as a short stream's checksum is of. */
#include "deflate.h"

#include <string.h>

enum {
    SYMBOLS = 96,        /* so many sound ones are no accident */
    FIXED_SYMBOLS = 768, /* of the fixed code, in which nearly all bits are sound */
    LEAST = 32,   /* bytes; what is shorter holds no hash part */
    LONGEST = 15, /* bits of a code */
    LITERALS = 288,
    DISTANCES = 30,
    END_OF_BLOCK = 256,
};

enum { MORE = -1, UNSOUND = 0, SOUND = 1 };

typedef struct {
    const uint8_t *bytes;
    size_t length, at;
    uint32_t kept; /* bits that were read and not used, the next one lowest */
    unsigned kept_bits;
} bit_reader;

typedef struct {
    uint16_t counts[LONGEST + 1]; /* of codes, by their length */
    uint16_t symbols[LITERALS];   /* in the order of their codes */
} code;

/* The next bits, at most 16, the first one lowest; -1: there are no more. */
static int take(bit_reader *r, unsigned bits)
{
    while (r->kept_bits < bits) {
        if (r->at == r->length)
            return -1;
        r->kept |= (uint32_t)r->bytes[r->at++] << r->kept_bits;
        r->kept_bits += 8;
    }
    int value = (int)(r->kept & ((1u << bits) - 1));
    r->kept >>= bits;
    r->kept_bits -= bits;
    return value;
}

/* How many codes are missing for the lengths to be complete; less than 0: there are too many. */
static int build(code *c, const uint8_t *lengths, unsigned count)
{
    uint16_t first[LONGEST + 1];
    memset(c->counts, 0, sizeof c->counts);
    for (unsigned i = 0; i < count; i++)
        c->counts[lengths[i]]++;
    if (c->counts[0] == count)
        return 0;
    int left = 1;
    for (unsigned bits = 1; bits <= LONGEST; bits++) {
        left = left * 2 - c->counts[bits];
        if (left < 0)
            return left;
    }
    first[1] = 0;
    for (unsigned bits = 1; bits < LONGEST; bits++)
        first[bits + 1] = (uint16_t)(first[bits] + c->counts[bits]);
    for (unsigned i = 0; i < count; i++)
        if (lengths[i])
            c->symbols[first[lengths[i]]++] = (uint16_t)i;
    return left;
}

/* The next symbol; -1: no more bits; -2: no code is like that. */
static int symbol(bit_reader *r, const code *c)
{
    int value = 0, first = 0, index = 0;
    for (unsigned bits = 1; bits <= LONGEST; bits++) {
        int bit = take(r, 1);
        if (bit < 0)
            return -1;
        value |= bit;
        int count = c->counts[bits];
        if (value - count < first)
            return c->symbols[index + (value - first)];
        index += count;
        first = (first + count) << 1;
        value <<= 1;
    }
    return -2;
}

/* By nine bits: the share of three code lengths, of 128; and the symbol of the fixed code, with its
 * length. */
static uint8_t shares[512], fixed_bits[512];
static uint16_t fixed_symbols[512];

static uint64_t word_at(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* Whether the code of the code lengths is complete, which nearly no other bits are: by the first
 * bytes of a block, whose type has been looked at. Told without a loop over bits, for in x86 code
 * what looks like the beginning of zlib's streams is an instruction. */
static int may_have_codes(const uint8_t *bytes)
{
    uint64_t word = word_at(bytes), rest = word_at(bytes + sizeof word);
    if ((word >> 3 & 31) > 29 || (word >> 8 & 31) > 29)
        return 0;
    unsigned count = (unsigned)(word >> 13 & 15) + 4, sum = 0;
    uint64_t lengths = word >> 17 | rest << 47; /* three bits each, 19 at most */
    lengths &= ((uint64_t)1 << 3 * count) - 1;
    for (unsigned bit = 0; bit < 63; bit += 9)
        sum += shares[lengths >> bit & 511];
    return sum == 128;
}

/* The codes of a block with codes of its own. */
static int read_codes(bit_reader *r, code *literals, code *distances)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[LITERALS + 32] = {0};
    int counts[3];
    static const unsigned widths[3] = {5, 5, 4};
    for (unsigned i = 0; i < 3; i++)
        if ((counts[i] = take(r, widths[i])) < 0)
            return MORE;
    unsigned many = (unsigned)counts[0] + 257, far = (unsigned)counts[1] + 1;
    if (many > 286 || far > DISTANCES)
        return UNSOUND;
    for (int i = 0; i < counts[2] + 4; i++) {
        int bits = take(r, 3);
        if (bits < 0)
            return MORE;
        lengths[order[i]] = (uint8_t)bits;
    }
    code of_lengths;
    if (build(&of_lengths, lengths, 19) != 0 || of_lengths.counts[0] == 19)
        return UNSOUND;
    memset(lengths, 0, 19);
    for (unsigned at = 0; at < many + far;) {
        int found = symbol(r, &of_lengths);
        if (found < 0)
            return found == -1 ? MORE : UNSOUND;
        if (found < 16) {
            lengths[at++] = (uint8_t)found;
            continue;
        }
        static const uint8_t extra[3] = {2, 3, 7}, least[3] = {3, 3, 11};
        if (found == 16 && at == 0)
            return UNSOUND;
        uint8_t length = found == 16 ? lengths[at - 1] : 0;
        int more = take(r, extra[found - 16]);
        if (more < 0)
            return MORE;
        unsigned times = (unsigned)more + least[found - 16];
        if (at + times > many + far)
            return UNSOUND;
        while (times--)
            lengths[at++] = length;
    }
    if (lengths[END_OF_BLOCK] == 0)
        return UNSOUND;
    int left = build(literals, lengths, many);
    if (left < 0 || (left > 0 && many - literals->counts[0] != 1))
        return UNSOUND;
    left = build(distances, lengths + many, far);
    if (left < 0 || (left > 0 && far - distances->counts[0] != 1))
        return UNSOUND;
    return SOUND;
}

/* Bits behind a length's symbol. */
static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                        2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};

static void put(graft_deflated *out, uint8_t byte)
{
    if (out->made < GRAFT_DEFLATE_KEPT)
        out->bytes[out->made] = byte;
    out->made++;
}

static unsigned turned(unsigned value, unsigned bits)
{
    unsigned other = 0;
    for (unsigned i = 0; i < bits; i++)
        other |= (value >> i & 1) << (bits - 1 - i);
    return other;
}

/* As `symbol`, of the fixed code of literals and lengths. */
static int fixed_symbol(bit_reader *r)
{
    int bits = take(r, 7);
    if (bits < 0)
        return -1;
    unsigned value = turned((unsigned)bits, 7);
    if (value < 24)
        return (int)value + 256;
    if ((bits = take(r, 1)) < 0)
        return -1;
    value = value << 1 | (unsigned)bits;
    if (value < 192)
        return (int)value - 48;
    if (value < 200)
        return (int)value - 192 + 280;
    if ((bits = take(r, 1)) < 0)
        return -1;
    return (int)(value << 1 | (unsigned)bits) - 400 + 144;
}

static int fixed_distance(bit_reader *r)
{
    int bits = take(r, 5);
    return bits < 0 ? -1 : (int)turned((unsigned)bits, 5);
}

/* The least distance of a code. */
static size_t least_distance(unsigned far)
{
    return far < 4 ? (size_t)far + 1 : ((size_t)(2 + far % 2) << (far / 2 - 1)) + 1;
}

/* Whether the first symbols of a block of the fixed code may be sound: most other bits soon copy from
 * before the first byte. */
static int may_be_fixed(const uint8_t *bytes)
{
    const uint64_t word = word_at(bytes);
    for (unsigned bit = 3, made = 0; bit + 9 <= 64; made++) {
        unsigned next = (unsigned)(word >> bit & 511), found = fixed_symbols[next];
        bit += fixed_bits[next];
        if (found < END_OF_BLOCK)
            continue;
        if (found == END_OF_BLOCK)
            return 1;
        if (found > END_OF_BLOCK + 29)
            return 0;
        bit += length_bits[found - END_OF_BLOCK - 1];
        if (bit + 5 > 64)
            return 1;
        unsigned far = turned((unsigned)(word >> bit & 31), 5);
        return far < DISTANCES && least_distance(far) <= made;
    }
    return 1;
}

void graft_deflate_prepare(void)
{
    static const uint8_t share[8] = {0, 64, 32, 16, 8, 4, 2, 1};
    for (unsigned i = 0; i < 512; i++) {
        shares[i] = (uint8_t)(share[i & 7] + share[i >> 3 & 7] + share[i >> 6]);
        const uint8_t bytes[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
        bit_reader r = {.bytes = bytes, .length = sizeof bytes};
        fixed_symbols[i] = (uint16_t)fixed_symbol(&r);
        fixed_bits[i] = (uint8_t)(8 * r.at - r.kept_bits);
    }
}

int graft_deflate_may_begin(const uint8_t *bytes)
{
    switch (bytes[0] >> 1 & 3) {
    case 0:
        return (bytes[1] ^ bytes[3]) == 0xFF && (bytes[2] ^ bytes[4]) == 0xFF;
    case 1:
        return may_be_fixed(bytes);
    case 2:
        return may_have_codes(bytes);
    default:
        return 0;
    }
}

/* A block's symbols, until it ends (SOUND) or enough of them are. No codes: the fixed ones. */
static int pass_symbols(bit_reader *r, const code *literals, const code *distances,
                        graft_deflated *out, unsigned *symbols, unsigned most)
{
    static const uint16_t base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                      31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    while (*symbols < most) {
        int found = literals ? symbol(r, literals) : fixed_symbol(r);
        if (found < 0)
            return found == -1 ? MORE : UNSOUND;
        ++*symbols;
        if (found == END_OF_BLOCK)
            return SOUND;
        if (found < END_OF_BLOCK) {
            put(out, (uint8_t)found);
            continue;
        }
        found -= END_OF_BLOCK + 1;
        if (found >= 29)
            return UNSOUND;
        int more = take(r, length_bits[found]);
        if (more < 0)
            return MORE;
        int far = distances ? symbol(r, distances) : fixed_distance(r);
        if (far < 0)
            return far == -1 ? MORE : UNSOUND;
        if (far >= DISTANCES)
            return UNSOUND;
        unsigned bits = far < 4 ? 0 : (unsigned)far / 2 - 1;
        int rest = take(r, bits);
        if (rest < 0)
            return MORE;
        size_t distance = least_distance((unsigned)far) + (size_t)rest;
        if (distance > out->made)
            return UNSOUND;
        for (size_t left = base[found] + (size_t)more; left; left--)
            put(out, out->made < GRAFT_DEFLATE_KEPT ? out->bytes[out->made - distance] : 0);
    }
    return SOUND;
}

int graft_deflate_begins(const uint8_t *bytes, size_t length, graft_deflated *out)
{
    bit_reader r = {.bytes = bytes, .length = length};
    out->made = out->end = 0;
    unsigned symbols = 0, most = SYMBOLS;
    if (length >= GRAFT_DEFLATE_AHEAD && !graft_deflate_may_begin(bytes))
        return UNSOUND;
    for (int last = 0; !last;) {
        last = take(&r, 1);
        int type = take(&r, 2);
        if (last < 0 || type < 0)
            return MORE;
        int state;
        if (type == 0) {
            r.kept = r.kept_bits = 0;
            if (r.length - r.at < 4)
                return MORE;
            unsigned size = r.bytes[r.at] | (unsigned)r.bytes[r.at + 1] << 8;
            unsigned inverse = r.bytes[r.at + 2] | (unsigned)r.bytes[r.at + 3] << 8;
            if ((size ^ inverse) != 0xFFFF)
                return UNSOUND;
            r.at += 4;
            if (r.length - r.at < size)
                return MORE;
            for (unsigned i = 0; i < size; i++)
                put(out, r.bytes[r.at + i]);
            r.at += size;
            symbols += SYMBOLS / 4; /* 16 bits that are the inverse of 16 others are rare */
            state = SOUND;
        } else if (type == 3) {
            return UNSOUND;
        } else {
            code literals, distances;
            most = type == 1 && most == SYMBOLS && !symbols ? FIXED_SYMBOLS : most;
            if (type == 1) {
                state = pass_symbols(&r, NULL, NULL, out, &symbols, most);
            } else {
                state = read_codes(&r, &literals, &distances);
                if (state == SOUND)
                    state = pass_symbols(&r, &literals, &distances, out, &symbols, most);
            }
        }
        if (state != SOUND)
            return state;
        if (symbols >= most)
            return SOUND;
    }
    out->end = r.at; /* less than eight bits are kept, those of the last byte */
    return out->made >= LEAST;
}

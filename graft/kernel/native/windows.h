/* The search for windows, compiled once for every variant: included after `may_hold_run`,
 * `classify` and `gather` are defined, with which it finds all windows and puts them to the filter.
 *
 * Words. A *character* is a byte of the alphabet. A *run* of stride s (1, 2 or 4) is a maximal
 * sequence of characters at distance s whose s - 1 bytes between are NUL. A *window* is 32
 * characters in a run, and lies where its first character does.
 *
 * Two runs have at most one byte in common, the last character of the one and the first of the
 * other: the byte after a character that is not the last of its run tells the stride (a character:
 * 1; a NUL: 2 or 4, by the byte after that), and what lies between is NUL, thus in no other run's
 * characters. So runs are ordered; and where the last window of a run lies, no other run has one
 * before the end of that window.
 *
 * Text is looked at in blocks of 64 bytes, as masks of 64 bits: which bytes are characters, which
 * NUL. Both are in the masks of three blocks for every window that lies in the first, for the
 * longest, of stride 4, has 125 bytes. */

enum {
    BLOCK = 64,
    VIEW = 3 * BLOCK,  /* bytes that decide on the windows of a block */
    MARGIN = 16,       /* bytes before a block in which a window that it shows may lie */
    AHEAD = 4 * BLOCK, /* bytes from the windows judged to those whose lines of the filter are asked
                        * for */
    SOON = 4096,       /* bytes from those looked at to those the cache is asked for */
};

/* Bits from..from + 63 of the mask that has `low` and then `high`; from is 1 to 63. */
static inline uint64_t shifted(uint64_t low, uint64_t high, unsigned from)
{
    return low >> from | high << (64 - from);
}

/* Each mask of the next three functions has a bit set where a window of that stride lies in the
 * first block. The doubled steps of AND leave bit i if the 2, 4, 8, 16 (32) bits from there are. */

static inline uint64_t windows_of_stride_1(uint64_t c0, uint64_t c1)
{
    for (unsigned step = 1; step < 32; step *= 2) {
        c0 &= shifted(c0, c1, step);
        c1 &= c1 >> step;
    }
    return c0;
}

/* p: characters before a NUL. The 32nd character needs none behind it. */
static inline uint64_t windows_of_stride_2(uint64_t p0, uint64_t p1, uint64_t c0, uint64_t c1)
{
    for (unsigned step = 2; step < 32; step *= 2) {
        p0 &= shifted(p0, p1, step);
        p1 &= p1 >> step;
    }
    return p0 & shifted(p0, p1, 30) & shifted(c0, c1, 62);
}

/* p: characters before three NUL. */
static inline uint64_t windows_of_stride_4(uint64_t p0, uint64_t p1, uint64_t p2, uint64_t c1,
                                           uint64_t c2)
{
    for (unsigned step = 4; step < 64; step *= 2) {
        p0 &= shifted(p0, p1, step);
        p1 &= shifted(p1, p2, step);
        p2 &= p2 >> step;
    }
    return p0 & shifted(p0, p1, 60) & shifted(c1, c2, 60);
}

/* The masks of a block. */
typedef struct {
    uint64_t characters, nuls;
} kinds;

static inline kinds kinds_of(const uint8_t *block)
{
    kinds of;
    classify(block, &of.characters, &of.nuls);
    return of;
}

/* Of the windows of stride 1 in a block, those that pass the filter: one group in every 16 bytes,
 * whose common characters are in each of its windows, wherever the run begins. */
static inline uint64_t passed_of_stride_1(const graft_table *table, const uint8_t *block,
                                          uint64_t windows, const uint8_t *ahead)
{
    uint64_t passed = 0;
    for (unsigned at = 0; table->far && at < BLOCK; at += GROUP)
        foresee(table, ahead + at + GROUP - 1);
    for (unsigned at = 0; at < BLOCK; at += GROUP)
        passed |= (uint64_t)possible(table, block + at + GROUP - 1) << at;
    return passed & windows;
}

/* Those of `windows`, which are of stride 2 or 4. */
static uint64_t passed_of_stride(const graft_table *table, const uint8_t *block, unsigned stride,
                                 uint64_t windows, const uint8_t *ahead)
{
    uint64_t passed = 0;
    for (unsigned phase = 0; phase < stride; phase++) {
        const uint64_t in_phase = (stride == 2 ? UINT64_C(0x5555555555555555)
                                               : UINT64_C(0x1111111111111111)) << phase;
        if ((windows & in_phase) == 0)
            continue;
        for (unsigned at = phase; at < BLOCK; at += GROUP * stride) {
            uint8_t common[GROUP];
            if (table->far) {
                gather(ahead + at + (GROUP - 1) * stride, stride, common);
                foresee(table, common);
            }
            gather(block + at + (GROUP - 1) * stride, stride, common);
            unsigned which = possible(table, common);
            for (unsigned j = 0; which != 0; j++, which >>= 1)
                passed |= (uint64_t)(which & 1) << (at + j * stride);
        }
    }
    return passed & windows;
}

/* Judges the windows that passed, in the order of their places. */
static void judge(search *s, const uint8_t *block, size_t offset, uint64_t one, uint64_t two,
                  uint64_t four)
{
    for (uint64_t all = one | two | four; all != 0; all &= all - 1) {
        unsigned at = (unsigned)__builtin_ctzll(all);
        unsigned stride = one >> at & 1 ? 1 : two >> at & 1 ? 2 : 4;
        graft_judge(s, block + at, offset + at, stride);
    }
}

/* Finds the hits among the windows that lie in the first `count` bytes, 64 at most, of a view of
 * VIEW bytes, which is at `offset` of the whole. `first` and `second` are its blocks; at `ahead` is
 * another view, whose windows may be the next. Whether there was a window. */
static inline int try_block(search *s, const uint8_t *view, size_t offset, size_t count,
                            kinds first, kinds second, const uint8_t *ahead)
{
    const uint64_t asked = UINT64_MAX >> (BLOCK - count);
    uint64_t c0 = first.characters, c1 = second.characters, z0 = first.nuls, z1 = second.nuls;
    uint64_t one = windows_of_stride_1(c0, c1) & asked, two = 0, four = 0;
    uint64_t p0 = c0 & shifted(z0, z1, 1);
    if ((p0 & asked) != 0) {
        two = windows_of_stride_2(p0, c1 & z1 >> 1, c0, c1) & asked;
        p0 &= shifted(z0, z1, 2) & shifted(z0, z1, 3);
        if ((p0 & asked) != 0) {
            kinds third = kinds_of(view + 2 * BLOCK);
            uint64_t c2 = third.characters, z2 = third.nuls;
            uint64_t p1 = c1 & shifted(z1, z2, 1) & shifted(z1, z2, 2) & shifted(z1, z2, 3);
            uint64_t p2 = c2 & z2 >> 1 & z2 >> 2 & z2 >> 3;
            four = windows_of_stride_4(p0, p1, p2, c1, c2) & asked;
        }
    }
    if ((one | two | four) == 0)
        return 0;
    if (one != 0)
        one = passed_of_stride_1(s->table, view, one, ahead);
    if (two != 0)
        two = passed_of_stride(s->table, view, 2, two, ahead);
    if (four != 0)
        four = passed_of_stride(s->table, view, 4, four, ahead);
    if ((one | two | four) != 0)
        judge(s, view, offset, one, two, four);
    return 1;
}

/* The first of the blocks at q, q + BLOCK, ... before `stop` that may hold a part of a run of 32
 * characters; `stop` or more if there is none. Reads bytes[q..stop + BLOCK - 1). */
static inline size_t skip(const uint8_t *bytes, size_t q, size_t stop)
{
    while (q < stop && !may_hold_run(bytes + q)) {
        q += BLOCK;
        __builtin_prefetch((const void *)((uintptr_t)bytes + q + SOON));
    }
    return q;
}

/* The same for a view whose blocks nobody has looked at. */
static void try_view(search *s, const uint8_t *view, size_t offset, size_t count)
{
    (void)try_block(s, view, offset, count, kinds_of(view), kinds_of(view + BLOCK), view);
}

/* The windows from `done` on, in views that end with bytes no window has. */
static void try_end(search *s, size_t done)
{
    for (; done < s->limit && !s->short_of_memory; done += BLOCK) {
        uint8_t view[VIEW];
        size_t left = s->length - done;
        size_t count = s->limit - done < BLOCK ? s->limit - done : BLOCK;
        if (left >= VIEW) {
            try_view(s, s->bytes + done, done, count);
            continue;
        }
        memcpy(view, s->bytes + done, left);
        memset(view + left, 0xFF, VIEW - left);
        try_view(s, view, done, count);
    }
}

/* A window that lies in [q - MARGIN, q + BLOCK - MARGIN) covers an aligned part of 16 bytes of the
 * block at q: may_hold_run sees it. */
static void find_windows(search *s)
{
    const uint8_t *bytes = s->bytes;
    size_t done = 0; /* windows before it are */
    if (s->length >= VIEW + BLOCK && s->limit > 2 * BLOCK) {
        size_t stop = s->length - VIEW + MARGIN; /* a view from q - MARGIN on is within the bytes */
        if (stop > s->limit + MARGIN - BLOCK)
            stop = s->limit + MARGIN - BLOCK; /* and all windows of its block are asked for */
        /* From the second boundary of a line of the cache on. */
        size_t q = 2 * BLOCK - (uintptr_t)bytes % BLOCK;
        done = q - MARGIN;
        try_view(s, bytes, 0, done < BLOCK ? done : BLOCK);
        if (done > BLOCK)
            try_view(s, bytes + BLOCK, BLOCK, done - BLOCK);
        while (!s->short_of_memory && (q = skip(bytes, q, stop)) < stop) {
            const uint8_t *view = bytes + q - MARGIN;
            kinds first = kinds_of(view);
            int more = 1;
            for (; more && q < stop; q += BLOCK, view += BLOCK) {
                kinds second = kinds_of(view + BLOCK);
                const uint8_t *ahead = stop - q > AHEAD ? view + AHEAD : view;
                more = try_block(s, view, q - MARGIN, BLOCK, first, second, ahead);
                first = second;
            }
        }
        done = q - MARGIN;
    }
    try_end(s, done);
}

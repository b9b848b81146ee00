/* What stands between digits is skipped, as graft/kernel/streams.py has it: ends of lines and the
 * margin of the next, separators, and the signs with which a number or an escape begins. */
#include "spelled.h"

#include <string.h>

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Bytes of a filler between digits of base64; 0: there is none. */
static size_t base64_filler(const uint8_t *text, size_t length)
{
    if (is_blank(text[0]))
        return 1;
    return length > 1 && text[0] == '\\' && (text[1] == 'n' || text[1] == 'r' || text[1] == '\n') ? 2 : 0;
}

/* The same between numbers. */
static size_t number_filler(const uint8_t *text, size_t length)
{
    if (length > 1 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return 2;
    if (length > 2 && (text[0] == 'u' || text[0] == 'U') && text[1] == '0' && text[2] == '0')
        return 3;
    return is_blank(text[0]) || (text[0] && strchr(",;:.-\"'\\%=&#{}xX", text[0]));
}

size_t graft_unspell(enum graft_spelling spelling, const uint8_t *text, size_t length, uint8_t *out,
                     size_t room, int *ends)
{
    size_t made = 0, at = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    *ends = 1;
    while (made < room && at < length) {
        if (spelling == GRAFT_SPELLED_BASE64) {
            int digit = base64_digit(text[at]);
            if (digit >= 0) {
                at++;
                bits = bits << 6 | (uint32_t)digit;
                count += 6;
                if (count >= 8) {
                    count -= 8;
                    out[made++] = (uint8_t)(bits >> count);
                }
                continue;
            }
        } else if (spelling == GRAFT_SPELLED_HEX) {
            int high = hex_digit(text[at]);
            if (high >= 0 && at + 1 == length)
                break;
            int low = high < 0 ? -1 : hex_digit(text[at + 1]);
            if (low >= 0) {
                out[made++] = (uint8_t)(high << 4 | low);
                at += 2;
                continue;
            }
        } else if (text[at] >= '0' && text[at] <= '9') {
            unsigned number = 0;
            size_t end = at;
            for (; end < length && end < at + 4 && text[end] >= '0' && text[end] <= '9'; end++)
                number = 10 * number + (unsigned)(text[end] - '0');
            if (number > 255 || end == at + 4)
                return made;
            if (end == length) /* there may be more of it */
                break;
            out[made++] = (uint8_t)number;
            at = end;
            continue;
        }
        if (length - at < 3 && text[at] && strchr("uU\\", text[at]))
            break;
        size_t filler = spelling == GRAFT_SPELLED_BASE64 ? base64_filler(text + at, length - at)
                                                         : number_filler(text + at, length - at);
        if (!filler)
            return made;
        at += filler;
    }
    *ends = 0;
    return made;
}

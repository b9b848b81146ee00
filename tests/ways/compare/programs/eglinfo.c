/* Asks libEGL for what it can do without a display, for which it loads every driver. */
#include <stddef.h>

extern const char *eglQueryString(void *display, int name);

enum { EXTENSIONS = 0x3055 };

int main(void)
{
    eglQueryString(NULL, EXTENSIONS);
    return 0;
}

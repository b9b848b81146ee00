/* What libEGL loads as the driver of a vendor: it says that it was, and wants no work. */
#include <stdio.h>

int __egl_Main(unsigned version, const void *exports, void *vendor, void *imports)
{
    (void)version, (void)exports, (void)vendor, (void)imports;
    puts("driver " VERSION);
    return 0;
}

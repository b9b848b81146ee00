/* A program that can be pivoted: whose rights it has, and what its time zones say of Paris. */
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>
#include "pivot.h"

int main(void)
{
    char *found = pivot_find(OUT, "tzdata"), file[4096], last[64] = "no file\n";
    FILE *paris;

    snprintf(file, sizeof file, "%s/Europe/Paris", found ? found : ZONES);
    if ((paris = fopen(file, "r")))
        while (fgets(last, sizeof last, paris))
            ;
    printf("user %u, secure %lu, %s", geteuid(), getauxval(AT_SECURE), last);
    return 0;
}

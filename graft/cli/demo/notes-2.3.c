#include <stdio.h>
#include <string.h>

const char *shelf_parser(void);
int shelf_print(const char *directory, const char *name);

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: notes NAME | --version\n");
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("notes 2.3, with parse %s\n", shelf_parser());
        return 0;
    }
    return shelf_print(NOTES_DIRECTORY, argv[1]);
}

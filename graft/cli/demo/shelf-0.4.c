#include <stdio.h>

int parse_name(const char *text);
const char *parse_version(void);

/* The version of the parser in use. */
const char *shelf_parser(void)
{
    return parse_version();
}

/* Prints the file of that name in a directory; 0, or 1 if there is none or it is no name. */
int shelf_print(const char *directory, const char *name)
{
    char path[4096];
    int character;
    FILE *file;

    if (!parse_name(name)) {
        fprintf(stderr, "notes: '%s' is not the name of a note\n", name);
        return 1;
    }
    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "notes: there is no note '%s'\n", name);
        return 1;
    }
    while ((character = getc(file)) != EOF)
        putchar(character);
    fclose(file);
    return 0;
}

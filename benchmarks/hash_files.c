/* The floor of whatever must hash files: open, read, SHA-256, with a number of threads.
 *
 *     hash_files THREADS [read] < LIST     LIST: the files' names, each ended by a NUL
 *
 * With `read` the files are only read. The threads take the files in the list's order. libcrypto is
 * loaded when the program runs, so that its headers need not be installed.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 131072 };

static char **files;
static size_t file_count;
static atomic_size_t next_file;
static atomic_ullong total;
static int only_read;

static void *(*context_new)(void);
static void (*context_free)(void *);
static int (*digest_init)(void *, const void *, void *);
static int (*digest_update)(void *, const void *, size_t);
static int (*digest_final)(void *, unsigned char *, unsigned *);
static const void *digest_type;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "%s has no %s\n", LIBCRYPTO, name);
        exit(1);
    }
    return found;
}

static void load_libcrypto(void)
{
    void *library = dlopen(LIBCRYPTO, RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    const void *(*sha256)(void);
    *(void **)&context_new = symbol(library, "EVP_MD_CTX_new");
    *(void **)&context_free = symbol(library, "EVP_MD_CTX_free");
    *(void **)&digest_init = symbol(library, "EVP_DigestInit_ex");
    *(void **)&digest_update = symbol(library, "EVP_DigestUpdate");
    *(void **)&digest_final = symbol(library, "EVP_DigestFinal_ex");
    *(void **)&sha256 = symbol(library, "EVP_sha256");
    digest_type = sha256();
}

static void one_file(const char *name, uint8_t *buffer, void *context)
{
    unsigned char digest[64];
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        die(name);
    if (context)
        digest_init(context, digest_type, NULL);
    for (;;) {
        ssize_t got = read(file, buffer, WINDOW);
        if (got < 0)
            die(name);
        if (got == 0)
            break;
        if (context)
            digest_update(context, buffer, (size_t)got);
        total += (unsigned long long)got;
        if (got < WINDOW)
            break; /* as graft does: a regular file gives less only at its end */
    }
    if (context)
        digest_final(context, digest, NULL);
    close(file);
}

static void *work(void *nothing)
{
    uint8_t *buffer = malloc(WINDOW);
    void *context = only_read ? NULL : context_new();
    if (!buffer)
        die("malloc");
    for (size_t i; (i = next_file++) < file_count;)
        one_file(files[i], buffer, context);
    if (context)
        context_free(context);
    free(buffer);
    return nothing;
}

static void read_list(void)
{
    char *name = NULL;
    size_t room = 0, capacity = 0;
    while (getdelim(&name, &room, '\0', stdin) > 0) {
        if (file_count == capacity) {
            capacity = capacity ? 2 * capacity : 1024;
            files = realloc(files, capacity * sizeof *files);
            if (!files)
                die("realloc");
        }
        files[file_count++] = strdup(name);
    }
    free(name);
}

int main(int count, char **arguments)
{
    int threads = count > 1 ? atoi(arguments[1]) : 0;
    only_read = count > 2 && strcmp(arguments[2], "read") == 0;
    if (threads < 1 || threads > 256) {
        fprintf(stderr, "usage: hash_files THREADS [read] < LIST\n");
        return 2;
    }
    read_list();
    if (!only_read)
        load_libcrypto();
    pthread_t others[256];
    for (int i = 1; i < threads; i++)
        if (pthread_create(&others[i], NULL, work, NULL))
            die("pthread_create");
    work(NULL);
    for (int i = 1; i < threads; i++)
        pthread_join(others[i], NULL);
    printf("%zu files, %llu bytes\n", file_count, (unsigned long long)total);
    return 0;
}

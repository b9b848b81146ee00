/* As those of NixOS: has its program's path compiled in, and is made set-user-ID. */
#include <unistd.h>

extern char **environ;

int main(int count, char **arguments)
{
    (void)count;
    execve(PROGRAM, arguments, environ);
    return 126;
}

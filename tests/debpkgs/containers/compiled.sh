# Programs whose paths the compiler takes apart; one with its debugging information beside it.
mkdir -p "$out/bin" "$out/lib/debug"
cat > paths.c <<'END'
#include <stdio.h>
#include <string.h>

__attribute__((noinline)) static void fill(char *into) { memcpy(into, WHERE, sizeof WHERE); }
__attribute__((noinline)) static int is_it(const char *name) { return !strcmp(name, WHERE); }
__attribute__((noinline)) static void name(char *into) { strcpy(into, NAME); }

int main(void) {
  char path[4096], base[4096];
  fill(path);
  name(base);
  return printf("%s\n%s\n%d\n", path, base, is_it(path)) < 0;
}
END
loader=$(echo "$glibc"/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2)
[ -e "$loader" ]
# The build directory's name differs from one build to the next.
options="-ffile-prefix-map=$PWD=. -DWHERE=\"$replaced/lib\" -DNAME=\"${replaced##*/}\""
link="-Wl,--dynamic-linker=$loader,-rpath,$glibc/lib/x86_64-linux-gnu"
gcc -O2 $options $link -Wl,--build-id=none paths.c -o "$out/bin/gcc"
gcc -O3 $options $link -Wl,--build-id=none paths.c -o "$out/bin/gcc-O3"
clang -O2 $options $link -Wl,--build-id=none paths.c -o "$out/bin/clang"

gcc -O2 -g3 $options $link paths.c -o "$out/bin/linked"
cp "$out/bin/linked" "$out/lib/debug/linked.debug"
objcopy --only-keep-debug "$out/lib/debug/linked.debug"
strip "$out/bin/linked"
objcopy --add-gnu-debuglink="$out/lib/debug/linked.debug" "$out/bin/linked"

gcc -O2 $options -c paths.c
ar rcD "$out/lib/libpaths.a" paths.o

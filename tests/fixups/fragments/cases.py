"""Code at random that copies, compares and prints store paths that are like each other."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graft.formats.hashing import NIX32_ALPHABET

NAMES = ("kservice", "openssl", "glibc", "z", "libxml2", "qt5-base", "a1", "linux-headers")
VERSIONS = (
    *(("5.110.0", "5.110.1"), ("3.0.14", "3.0.15"), ("1.0", "1.1"), ("2", "3"), ("9.9", "9.9")),
    *(("2.38-44", "2.38-45"), ("1.10.0", "2.10.0"), ("", ""), ("1.2.13", "1.2.13")),
)
ENDS = ("", "", "/lib", "/bin/sh", "/share/data", "/etc/ssl/openssl.cnf", "/lib/a-1.0/1.0", ":/x")
BEGINNINGS = ("", "", "", "", "file://", "PATH=", "ab", "-I", "a longer text that ends in ")
NEIGHBOURS = ("kio", "curl", "dbus", "util-linux", "kservice-bin", "lib")

MAIN = """
#include <stdio.h>
#ifdef __cplusplus
extern "C"
#endif
int part(char **texts);
static char lines[4000][300];
static char *texts[4001];
int main(int count, char **arguments) {
    FILE *file = fopen(arguments[count - 1], "r");
    int at = 0;
    while (at < 4000 && fgets(lines[at], 300, file)) {
        char *end = lines[at];
        while (*end && *end != '\\n') end++;
        *end = 0;
        texts[at] = lines[at];
        at++;
    }
    return part(texts);
}
"""
_HEAD = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __cplusplus
#include <string>
#include <string_view>
#define C extern "C"
#else
#define C
#endif
#define NOINLINE __attribute__((noinline))
static char buffer[8][400];
NOINLINE static void show(const char *text) { puts(text); }
NOINLINE static void bytes(const char *text, int size) { fwrite(text, 1, size, stdout); puts(""); }
"""


@dataclass(slots=True)
class Case:
    """A function and the texts it is given.

    Attributes:
        number: its own.
        old: a base name.
        new: what replaces it.
        lines: of its body, built on OLD and on NEW.
        outside: lines before it, likewise.
        asked: texts that it compares with.
    """

    number: int
    old: str
    new: str
    lines: tuple[list[str], list[str]]
    outside: tuple[list[str], list[str]]
    asked: list[str]

    def source(self, *, new: bool) -> str:
        """Its code, built on OLD or on NEW."""
        return "\n".join(
            [
                *self.outside[new],
                f"NOINLINE static void case{self.number}(char **texts) {{",
                *(f"    {line}" for line in self.lines[new]),
                "}",
            ]
        )


def source(cases: Sequence[Case], *, new: bool) -> str:
    """A part of a program with some cases."""
    calls, at = [], 0
    for case in cases:
        calls.append(
            f'    puts("== {case.number}"); fflush(stdout); case{case.number}(texts + {at});'
        )
        at += len(case.asked)
    functions = "\n".join(case.source(new=new) for case in cases)
    body = "\n".join(calls)
    return f"{_HEAD}\n{functions}\nC int part(char **texts) {{\n{body}\n    return 0;\n}}\n"


def texts(cases: Sequence[Case]) -> str:
    """What the program reads: the texts that its cases compare with."""
    return "".join(f"{text}\n" for case in cases for text in case.asked)


def pair(choice: random.Random) -> tuple[str, str]:
    """A base name and what replaces it, at random."""
    old_hash, new_hash = _hash(choice), _hash(choice)
    name = choice.choice(NAMES)
    one, two = choice.choice(VERSIONS)
    return f"{old_hash}-{name}-{one}".rstrip("-"), f"{new_hash}-{name}-{two}".rstrip("-")


def case(choice: random.Random, number: int, paths: tuple[str, str], make: type[Texts]) -> Case:
    """A case at random."""
    old, new = paths
    made = Case(number, old, new, ([], []), ([], []), [])
    seed, steps = choice.random(), choice.randint(1, 4)
    for is_new in (False, True):
        made.asked.clear()
        maker = make(random.Random(seed), made, is_new=is_new)
        for step in range(steps):
            maker.add(step)
    return made


def _hash(choice: random.Random) -> str:
    return "".join(choice.choice(NIX32_ALPHABET) for _ in range(32))


class Texts:
    """Texts for a case, as it is built on OLD or on NEW."""

    def __init__(self, choice: random.Random, made: Case, *, is_new: bool) -> None:
        self._choice, self._case, self._is_new = choice, made, is_new
        self._path = made.new if is_new else made.old
        self._name = made.old[33:]
        self._version = self._name.rpartition("-")[2] if "-" in self._name else self._name

    def _old(self) -> str:
        kind = self._choice.random()
        if kind < 0.06:
            return self._path[:32]
        if kind < 0.12:
            return self._path + self._choice.choice(ENDS)
        begin = self._choice.choice(BEGINNINGS)
        return f"{begin}/nix/store/{self._path}{self._choice.choice(ENDS)}"

    def _other(self) -> str:
        """Text that is none of OLD's, and may look like a part of it."""
        choice = self._choice
        end = choice.choice(ENDS)
        hash_part = _hash(choice)
        neighbour = f"{choice.choice(NEIGHBOURS)}-{self._version}"
        alike = hash_part[: (at := choice.randint(20, 31))] + self._case.old[at:32]
        near = self._case.old[: (at := choice.choice((3, 4, 5, 5, 7)))] + hash_part[at:]
        return choice.choice(
            (
                f"/nix/store/{hash_part}-{neighbour}{end}",
                f"/nix/store/{hash_part}-{neighbour}{end}",
                f"/nix/store/{hash_part}-{self._name}{end}",
                f"/nix/store/{hash_part}-{self._name}-dev{end}",
                f"/nix/store/{alike}-{self._name}{end}",
                f"/nix/store/{near}-{neighbour}{end}",
                f"{neighbour}{end}",
                f"{self._name}{end}",
                f"{self._version}{end}",
                f"lib {self._name[-5:]}",
                f"/nix/store/{hash_part[: choice.randint(0, 32)]}",
                f"the end of all that {hash_part[:9]} is, {self._version}",
            )
        )

    def _tails(self) -> str:
        whole = self._case.old + "/lib"
        return whole[-self._choice.randint(2, len(whole) - 33) :]

    def add(self, step: int) -> None:
        """A statement, or a few, at random."""
        raise NotImplementedError

    def _cut(self, text: str) -> int:
        """Where a text may be cut: what has less than half of the hash part is no path at all."""
        at = text.index(self._path[:32])
        places = [*range(at + 1), at + 16, *range(at + 32, len(text))]
        return int(self._choice.choice(places))

    def _in_both(self, text: str) -> tuple[str, str]:
        """A text of this build's path, with OLD's and with NEW's."""
        return tuple(  # type: ignore[return-value]
            text.replace(self._path, path).replace(self._path[:32], path[:32])
            for path in (self._case.old, self._case.new)
        )

    def _line(self, text: str) -> None:
        self._case.lines[self._is_new].append(text)

    def _asked(self, text: str) -> int:
        self._case.asked.append(text)
        return len(self._case.asked) - 1


class Maker(Texts):
    """Adds statements to a case of C."""

    def add(self, step: int) -> None:
        """A statement, or a few, at random."""
        ways = [
            *(self._copy,) * 5,
            *(self._compare,) * 3,
            *(self._both, self._either, self._print, self._array, self._global, self._tail),
            *(self._initialised, self._part, self._loop, self._appended, self._compare_both),
            *(self._twice, self._escaped, self._begins, self._word, self._heap, self._switch),
        ]
        self._choice.choice([*ways, *self._more()])(step)

    def _more(self) -> list[Callable[[int], None]]:
        """Statements of the language."""
        return []

    def _copy_of(self, to: str, text: str) -> str:
        kind = self._choice.randrange(6)
        if kind == 0:
            return f'memcpy({to}, "{text}", {len(text) + 1});'
        if kind == 1:
            return f'memcpy({to}, "{text}", {len(text)}); ({to})[{len(text)}] = 0;'
        if kind == 2:
            return f'stpcpy({to}, "{text}");'
        return f'strcpy({to}, "{text}");'

    # ---- statements ------------------------------------------------------------------------------

    def _copy(self, step: int) -> None:
        self._line(f"char b{step}[400]; {self._copy_of(f'b{step}', self._old())} show(b{step});")

    def _both(self, step: int) -> None:
        one, two = self._old(), self._other()
        if self._choice.random() < 0.5:
            one, two = two, one
        self._line(f"char b{step}[400], c{step}[400];")
        self._line(f"{self._copy_of(f'b{step}', one)} {self._copy_of(f'c{step}', two)}")
        self._line(f"show(b{step}); show(c{step});")

    def _twice(self, step: int) -> None:
        self._line(f"char b{step}[400];")
        for text in self._choice.sample((self._old(), self._other(), self._old()), 3):
            self._line(f"{self._copy_of(f'b{step}', text)}")
            if self._choice.random() < 0.8:
                self._line(f"show(b{step});")
        self._line(f"show(b{step});")

    def _either(self, step: int) -> None:
        one, two = self._old(), self._other()
        at = self._asked(self._choice.choice("ab"))
        self._line(f"char b{step}[400];")
        self._line(f"if (texts[{at}][0] == 'a') {self._copy_of(f'b{step}', one)}")
        self._line(f"else {{ {self._copy_of(f'b{step}', two)} }}")
        self._line(f"show(b{step});")
        if self._choice.random() < 0.5:
            self._line(f'strcpy(b{step}, texts[{at}][0] == 98 ? "{one}" : "{two}"); show(b{step});')

    def _compare(self, step: int) -> None:
        del step
        text = self._old()
        old, new = self._in_both(text)
        kind = self._choice.randrange(4)
        size = len(text) if self._choice.random() < 0.8 else self._cut(text)
        for each in (old, new, old + "x", old[:-1], self._other()):
            at = self._asked(each)
            how = (
                f'memcmp(texts[{at}], "{text}", {size})',
                f'strcmp(texts[{at}], "{text}")',
                f'strncmp(texts[{at}], "{text}", {size})',
                f'strncmp("{text}", texts[{at}], {size})',
            )[kind]
            self._line(f'printf("%d\\n", {how} == 0);')
        if self._choice.random() < 0.3:
            self._line(f'printf("%d\\n", memcmp(texts[{at}], "{text}", {size}) < 0);')

    def _compare_both(self, step: int) -> None:
        one, two = self._old(), self._other()
        if self._choice.random() < 0.3:
            two = one + "/more"
        for each in (*self._in_both(one), *self._in_both(two)):
            at = self._asked(each)
            sizes = len(one), len(two)
            self._line(f'if (!memcmp(texts[{at}], "{one}", {sizes[0]})) puts("one {step}");')
            self._line(f'else if (!memcmp(texts[{at}], "{two}", {sizes[1]})) puts("two {step}");')
            self._line('else puts("none");')

    def _begins(self, step: int) -> None:
        text = self._old()
        cut = self._cut(text)
        for each in self._in_both(text):
            at = self._asked(each)
            self._line(f"const char *p{step}_{at} = texts[{at}];")
            self._line(
                f'printf("%d\\n", !strncmp(p{step}_{at}, "{text[:cut]}", {cut}) '
                f'&& !strcmp(p{step}_{at} + {cut}, "{text[cut:]}"));'
            )

    def _print(self, step: int) -> None:
        del step
        self._line(
            f'puts("{self._old()}"); puts("{self._other()}"); printf("%s|\\n", "{self._tails()}");'
        )

    def _tail(self, step: int) -> None:
        del step
        self._line(f'show("{self._old()}"); show("{self._tails()}"); puts("{self._version}");')

    def _array(self, step: int) -> None:
        texts = [self._old(), self._other(), self._tails(), self._old()]
        self._choice.shuffle(texts)
        held = ", ".join(f'"{text}"' for text in texts)
        self._case.outside[self._is_new].append(
            f"static const char *const a{self._case.number}_{step}[] = {{ {held} }};"
        )
        self._line(f"for (int i = 0; i < 4; i++) show(a{self._case.number}_{step}[i]);")

    def _global(self, step: int) -> None:
        del step
        which = self._choice.randrange(8)
        self._line(f"{self._copy_of(f'buffer[{which}]', self._old())} show(buffer[{which}]);")
        if self._choice.random() < 0.5:
            other = (which + 1) % 8
            self._line(f"{self._copy_of(f'buffer[{other}]', self._other())} show(buffer[{other}]);")

    def _initialised(self, step: int) -> None:
        self._line(f'char i{step}[] = "{self._old()}"; show(i{step});')
        kind = "struct { int a; char t[200]; char u[100]; }"
        self._line(f'{kind} s{step} = {{ 1, "{self._old()}", "{self._tails()}" }};')
        self._line(f"show(s{step}.t); show(s{step}.u);")

    def _part(self, step: int) -> None:
        text = self._old()
        size = self._cut(text)
        self._line(f"char q{step}[400];")
        self._line(f'memcpy(q{step}, "{text}", {size}); bytes(q{step}, {size});')

    def _loop(self, step: int) -> None:
        self._line(f"char l{step}[3][400];")
        self._line(f"for (int i = 0; i < 3; i++) {{ {self._copy_of(f'l{step}[i]', self._old())} }}")
        self._line(f"for (int i = 0; i < 3; i++) show(l{step}[i]);")

    def _appended(self, step: int) -> None:
        text, other = self._old(), self._other()
        cut = self._cut(text)
        self._line(
            f'char e{step}[800]; strcpy(e{step}, "{text[:cut]}"); strcat(e{step}, "{text[cut:]}");'
        )
        self._line(f'show(e{step}); strcpy(e{step} + strlen(e{step}), "{other}"); show(e{step});')

    def _escaped(self, step: int) -> None:
        name = self._path[33:].replace(".", "\\\\.").replace("-", "\\\\-")
        other = self._path[33:].replace(".", "_").replace("-", "_")
        text = self._choice.choice((f"-{name}", f"_{other}"))
        self._line(f'show("/nix/store/{self._path[:32]}{text}");')
        self._line(f'char x{step}[400]; strcpy(x{step}, "/nix/store/{self._path[:32]}{text}");')
        self._line(f"show(x{step});")
        self._case.outside[self._is_new].append(f"/* {step} */")

    def _word(self, step: int) -> None:
        text = self._old()
        self._line(f'char w{step}[400]; strcpy(w{step}, "{text}"); show(w{step});')
        cut = self._choice.choice((0, text.index(self._path[:32]) + self._choice.randrange(24)))
        at = self._asked(self._in_both(text)[1][cut : cut + 8] + "x")
        self._line(f'printf("%d\\n", !memcmp(texts[{at}], "{text[cut : cut + 8]}", 8));')

    def _heap(self, step: int) -> None:
        text = self._old()
        self._line(
            f"char *h{step} = (char *)malloc(500); {self._copy_of(f'h{step}', text)} show(h{step});"
        )
        self._line(f"{self._copy_of(f'h{step} + 3', self._other())} show(h{step}); free(h{step});")
        self._line(f'char *d{step} = strdup("{self._old()}"); show(d{step}); free(d{step});')

    def _switch(self, step: int) -> None:
        self._line(f"char k{step}[400];")
        at = self._asked(str(self._choice.randrange(6)))
        self._line(f"switch (texts[{at}][0]) {{")
        for key in range(6):
            text = self._choice.choice((self._old, self._other))()
            end = "break;" if self._choice.random() < 0.8 else ""
            self._line(f"    case '{key}': {self._copy_of(f'k{step}', text)} {end}")
        self._line(f"    default: k{step}[0] = 'd'; }} show(k{step});")


class PlusMaker(Maker):
    """Adds statements to a case of C++."""

    def _more(self) -> list[Callable[[int], None]]:
        return [self._string, self._string, self._view]

    def _string(self, step: int) -> None:
        self._line(f'std::string t{step}("{self._old()}"); show(t{step}.c_str());')
        self._line(f't{step} += "{self._other()}"; show(t{step}.c_str());')

    def _view(self, step: int) -> None:
        text = self._old()
        for each in self._in_both(text):
            at = self._asked(each)
            self._line(f"std::string_view v{step}_{at}(texts[{at}]);")
            self._line(f'printf("%d\\n", v{step}_{at} == "{text}");')

"""Rust at random that copies, compares and prints store paths that are like each other."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fixups.fragments.cases import Case, Texts

_HEAD = """
use std::io::Write;
#[inline(never)] fn show(text: &str) { println!("{}", text); }
#[inline(never)] fn bytes(text: &[u8]) {
    std::io::stdout().write_all(text).unwrap();
    println!();
}
"""


def source(cases: Sequence[Case], *, new: bool) -> str:
    """A program with some cases."""
    calls, at = [], 0
    for case in cases:
        calls.append(f'    println!("== {case.number}"); case{case.number}(&texts[{at}..]);')
        at += len(case.asked)
    functions = [
        "\n".join(
            [
                *case.outside[new],
                f"#[inline(never)] fn case{case.number}(texts: &[String]) {{ let _ = texts;",
                *(f"    {line}" for line in case.lines[new]),
                "}",
            ]
        )
        for case in cases
    ]
    read = "let name = std::env::args().last().unwrap();"
    split = "let all = std::fs::read_to_string(name).unwrap();"
    held = "let texts: Vec<String> = all.lines().map(String::from).collect();"
    return "\n".join([_HEAD, *functions, "fn main() {", read, split, held, *calls, "}"])


class RustMaker(Texts):
    """Adds statements to a case of Rust, as it is built on OLD or on NEW."""

    def add(self, step: int) -> None:
        """A statement, or a few, at random."""
        ways = (
            *(self._show, self._copy, self._copy, self._equal, self._equal, self._match),
            *(self._array, self._bytes, self._constant),
        )
        self._choice.choice(ways)(step)

    def _show(self, step: int) -> None:
        del step
        self._line(f'show("{self._old()}"); show("{self._other()}"); show("{self._tails()}");')

    def _copy(self, step: int) -> None:
        self._line(f'let mut s{step} = String::from("{self._old()}"); show(&s{step});')
        self._line(f's{step}.push_str("{self._other()}"); show(&s{step});')

    def _equal(self, step: int) -> None:
        del step
        text = self._old()
        for each in (*self._in_both(text), text[:-1]):
            at = self._asked(each)
            self._line(f'println!("{{}}", texts[{at}] == "{text}");')
            self._line(f'println!("{{}}", texts[{at}].starts_with("{text}"));')

    def _match(self, step: int) -> None:
        del step
        one, two = self._old(), self._other()
        for each in (*self._in_both(one), *self._in_both(two)):
            at = self._asked(each)
            arms = f'"{one}" => "one", "{two}" => "two", "{one}/more" => "more", _ => "none"'
            self._line(f'println!("{{}}", match texts[{at}].as_str() {{ {arms} }});')

    def _array(self, step: int) -> None:
        texts = ", ".join(f'"{text}"' for text in (self._old(), self._other(), self._tails()))
        self._line(f"let a{step} = [{texts}]; for each in a{step}.iter() {{ show(each); }}")

    def _bytes(self, step: int) -> None:
        text = self._old()
        self._line(f'let b{step}: [u8; {len(text)}] = *b"{text}"; bytes(&b{step});')
        at = self._asked(self._in_both(text)[self._choice.randrange(2)])
        self._line(f'println!("{{}}", texts[{at}].as_bytes() == &b{step}[..]);')

    def _constant(self, step: int) -> None:
        name = f"P{self._case.number}_{step}"
        self._case.outside[self._is_new].append(f'const {name}: &str = "{self._old()}";')
        self._line(f"show({name}); show(&{name}[{self._choice.randrange(3)}..]);")
        self._line(f"let v{step} = {name}.as_bytes().to_vec(); bytes(&v{step});")

"""Absolute paths in scripts and other text, made store paths."""

import os
import re

from .layout import Layout
from .release import PERL_PACKAGES, PYTHON_PACKAGES

_PATH = re.compile(
    rb"(?:(?<![\w.\-/})>~*+%@])|(?<=file://))"  # where a path begins, not the end of one
    rb"/(?:usr/(?:local/)?(?:bin|sbin|lib|share|libexec|include|games)|bin|sbin|lib|etc|var/lib)"
    rb"/[A-Za-z0-9_+.@/\-]*[A-Za-z0-9_+]"
)
_SHEBANG = re.compile(rb"^#![ \t]*(\S+)([^\n]*)")

# Read by people or by their own tools, where a path is not for opening.
_LEFT_ALONE = re.compile(
    r"^(share/(doc|man|info|locale|lintian|bug|fonts|icons|zoneinfo|i18n|help|gnome/help"
    r"|vim/vim90/doc|emacs/.*/etc)|lib/debug|nix-support)(/|$)"
)
_LARGEST = 4 << 20


def module_directories(layout: Layout, places: tuple[str, ...]) -> list[str]:
    """The directories of a language's modules, in the dependencies and then in the outputs."""
    roots = [*layout.dependencies, *layout.outputs.values()]
    candidates = (f"{root}/{place}" for root in roots for place in places)
    return [directory for directory in candidates if os.path.isdir(directory)]


def rewrite_all(layout: Layout) -> tuple[int, list[str]]:
    """Rewrites every text; how many changed, and the Python programs that want a wrapper."""
    rewriter = _Rewriter(layout)
    changed = 0
    for output, path, status in layout.regular_files():
        relative = os.path.relpath(path, layout.outputs[output])
        if _LEFT_ALONE.match(relative) or not 3 <= status.st_size <= _LARGEST:
            continue
        with open(path, "rb") as file:
            data = file.read()
        if b"\0" in data or data[:2] == b"\x1f\x8b":
            continue
        new = rewriter.rewrite(data, path, relative, output)
        if new != data:
            changed += 1
            with open(path, "wb") as file:
                file.write(new)
    return changed, rewriter.python_programs


class _Rewriter:
    """The rewriting of one derivation's texts."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.python_programs: list[str] = []
        self._python = module_directories(layout, (PYTHON_PACKAGES,))
        self._perl = module_directories(layout, PERL_PACKAGES)
        self._known: dict[tuple[bytes, str], bytes] = {}

    def rewrite(self, data: bytes, path: str, relative: str, output: str) -> bytes:
        """A text with its paths, and its interpreter if it is a script, in the store."""
        match = _SHEBANG.match(data)
        if match is None:
            return self._paths(data, output)
        interpreter = self._interpreter(match.group(1), match.group(2), output)
        if interpreter is None:
            first, rest = data[: match.end()], data[match.end() :]
            return first + self._paths(rest, output)
        program, arguments = interpreter
        name = os.path.basename(program)
        first = b"#!" + program.encode() + arguments
        rest = data[match.end() :]
        if name.startswith("perl") and self._perl:
            rest = b"\nuse lib qw(" + " ".join(self._perl).encode() + b");" + rest
        if name.startswith("python") and self._python and relative.startswith(("bin/", "sbin/")):
            self.python_programs.append(path)
        return first + self._paths(rest, output)

    def _interpreter(
        self, program: bytes, arguments: bytes, output: str
    ) -> tuple[str, bytes] | None:
        """A script's interpreter in the store and its arguments; `env NAME` becomes NAME."""
        name = program.decode("utf-8", "replace")
        words = arguments.split()
        if name in ("/usr/bin/env", "/bin/env") and words and not words[0].startswith(b"-"):
            found = self._program(words[0].decode(), output)
            return (found, b"".join(b" " + word for word in words[1:])) if found else None
        if name.startswith(self.layout.store + "/"):
            return None
        found = self.layout.lookup(name, output)
        return (found, arguments) if found else None

    def _program(self, name: str, output: str) -> str | None:
        places = (self.layout.lookup(f"/{d}/{name}", output) for d in ("bin", "sbin"))
        return next((place for place in places if place), None)

    def _paths(self, data: bytes, output: str) -> bytes:
        return _PATH.sub(lambda match: self._path(match.group(), output), data)

    def _path(self, path: bytes, output: str) -> bytes:
        key = (path, output)
        if key not in self._known:
            found = self.layout.lookup(path.decode(), output)
            self._known[key] = found.encode() if found else path
        return self._known[key]

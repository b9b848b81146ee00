"""The faults that graft's modules may have: which there are, and a module's text with one."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.mutants import ROOT

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault.

    Attributes:
        file: the module's, from the checkout's top.
        line: where it is.
        index: which of the module's faults, in the order of `faults`.
        text: how it reads.
        called: whether it runs when a function is called; otherwise when the module is imported.
    """

    file: str
    line: int
    index: int
    text: str
    called: bool

    @property
    def module(self) -> str:
        """The module's full name."""
        return self.file[:-3].replace("/", ".").removesuffix(".__init__")

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"

    def tree(self) -> ast.Module:
        """The module with the fault."""
        tree = ast.parse((ROOT / self.file).read_bytes())
        list(faults(tree))[self.index][2]()
        return ast.fix_missing_locations(tree)


def faults(tree: ast.Module) -> Iterator[tuple[ast.AST, str, Callable[[], None]]]:
    """Every fault of a module: where, how it reads, and a function that puts it into the tree."""
    decorators = {
        below
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        for decorator in node.decorator_list
        for below in ast.walk(decorator)
    }
    for node in ast.walk(tree):
        if node in decorators:  # whether a value is frozen is the type checker's affair
            continue
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
            new = _COMPARED[type(node.ops[0])]()
            yield node, f"{ast.unparse(node)}: {type(new).__name__}", _setter(node.ops, 0, new)
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield (
                node,
                f"{ast.unparse(node)}: {type(other).__name__}",
                _attribute(node, "op", other),
            )
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            twice = ast.copy_location(ast.UnaryOp(ast.Not(), node.operand), node)
            yield node, f"{ast.unparse(node)}: no not", _attribute(node, "operand", twice)
        elif isinstance(node, ast.Constant) and isinstance(node.value, int):
            value = node.value
            new_value = not value if isinstance(value, bool) else value + 1
            yield node, f"{value} becomes {new_value}", _attribute(node, "value", new_value)
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            negated = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            text = f"if {ast.unparse(node.test)}: negated"
            yield node.test, text, _attribute(node, "test", negated)
        elif isinstance(node, ast.FunctionDef):
            for at, below in enumerate(node.body):
                call = isinstance(below, ast.Expr) and isinstance(below.value, ast.Call)
                if call or isinstance(below, ast.Raise | ast.AugAssign):
                    empty = ast.copy_location(ast.Pass(), below)
                    yield below, f"{ast.unparse(below)}: left out", _setter(node.body, at, empty)


def _setter(where: list[ast.cmpop] | list[ast.stmt], at: int, new: ast.AST) -> Callable[[], None]:
    return lambda: where.__setitem__(at, new)  # type: ignore[call-overload]


def _attribute(node: ast.AST, name: str, new: object) -> Callable[[], None]:
    return lambda: setattr(node, name, new)


def mutants(rooms: Sequence[str]) -> list[Mutant]:
    """Every fault in the modules of some rooms."""
    found = []
    for room in rooms:
        for file in sorted((ROOT / "graft" / room).rglob("*.py")):
            tree = ast.parse(file.read_bytes())
            called = {
                below
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef | ast.Lambda)
                for part in (node.body if isinstance(node.body, list) else [node.body])
                for below in ast.walk(part)
            }
            name = str(file.relative_to(ROOT))
            for index, (node, text, _) in enumerate(faults(tree)):
                line = getattr(node, "lineno", 0)
                found.append(Mutant(name, line, index, text, node in called))
    return found

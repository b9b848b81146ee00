"""References graphs, as Nix exports them to builders: read strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.derivations.references_graph import GraphNode, parse_graph
from graft.formats.hashing import NIX32_ALPHABET
from graft.formats.store_path import StoreDir, StorePath
from tests.registrations import print_graph

STORE = StoreDir("/nix/store")
HASH = "0123456789abcdfghijklmnpqrsvwxyz"
ONE, TWO = StorePath(f"{HASH}-one-1.0"), StorePath(f"{HASH[::-1]}-two-2.0")
DERIVER = StorePath(f"{HASH}-one-1.0.drv")

GRAPH = f"""\
/nix/store/{ONE}
/nix/store/{DERIVER}
2
/nix/store/{ONE}
/nix/store/{TWO}
/nix/store/{TWO}

0
"""
_paths = st.builds(
    lambda hash_part, name: StorePath(f"{hash_part}-{name}"),
    st.text(NIX32_ALPHABET, min_size=32, max_size=32),
    st.from_regex(r"[a-z][a-z0-9+\-._?=]{0,20}", fullmatch=True),
)
_nodes = st.lists(
    st.builds(
        GraphNode,
        path=_paths,
        deriver=st.none() | _paths,
        references=st.lists(_paths, max_size=4, unique=True).map(tuple),
    ),
    max_size=4,
)


def test_a_references_graph_is_read_and_written() -> None:
    nodes = [
        GraphNode(path=ONE, deriver=DERIVER, references=(ONE, TWO)),
        GraphNode(path=TWO),
    ]
    assert parse_graph(GRAPH, STORE) == nodes
    assert print_graph(nodes, STORE) == GRAPH


def test_no_text_registers_nothing() -> None:
    assert parse_graph("", STORE) == []


@given(_nodes, st.sampled_from(["/nix/store", "/gnu/store", "/tmp/a b"]).map(StoreDir))
def test_every_references_graph_is_read_back(nodes: list[GraphNode], store_dir: StoreDir) -> None:
    assert parse_graph(print_graph(nodes, store_dir), store_dir) == nodes


_line = st.one_of(
    st.sampled_from(
        [*GRAPH.split("\n"), "", "0", "1", "00", "-1", "+1", "\uff11", "9" * 30, "\r", "~"]
    ),
    st.text(max_size=8),
)
_texts = st.one_of(
    st.text(),
    st.lists(_line, max_size=12).map("\n".join),
    st.lists(_line, max_size=12).map(lambda lines: "".join(f"{line}\n" for line in lines)),
)


@st.composite
def _spoiled(draw: st.DrawFn) -> str:
    """A text with some characters cut out, doubled or put in."""
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(GRAPH))] * 2)))
    between = draw(st.sampled_from(["", GRAPH[start:end] * 2]) | st.text())
    return GRAPH[:start] + between + GRAPH[end:]


@given(_texts | _spoiled())
def test_any_text_is_a_document_or_a_typed_error(text: str) -> None:
    try:
        nodes = parse_graph(text, STORE)
    except BadFormatError:
        pass
    else:
        again = print_graph(nodes, STORE)
        assert parse_graph(again, STORE) == nodes


@pytest.mark.parametrize("number", ["", "x", "-1", "+1", " 1", "1.0", "1_0", "\uff11", str(2**64)])
def test_what_is_no_number_is_an_error(number: str) -> None:
    with pytest.raises(BadFormatError, match="line 3"):
        parse_graph(f"/nix/store/{ONE}\n\n{number}\n", STORE)


@pytest.mark.parametrize("end", range(1, len(GRAPH)))
def test_a_text_that_is_cut_is_an_error(end: int) -> None:
    if GRAPH[:end].endswith(f"{TWO}\n") and GRAPH[:end].count(TWO) == 1:
        # Nothing is missing: the first path is whole.
        assert len(parse_graph(GRAPH[:end], STORE)) == 1
        return
    with pytest.raises(BadFormatError):
        parse_graph(GRAPH[:end], STORE)


def test_a_path_of_another_store_is_an_error() -> None:
    with pytest.raises(BadFormatError, match="line 1"):
        parse_graph(GRAPH, StoreDir("/gnu/store"))


def test_a_reference_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(BadFormatError, match="twice"):
        parse_graph(f"/nix/store/{ONE}\n\n2\n" + f"/nix/store/{TWO}\n" * 2, STORE)


def test_a_number_of_references_that_lies_takes_no_memory() -> None:
    with pytest.raises(BadFormatError, match="ends"):
        parse_graph(f"/nix/store/{ONE}\n\n{2**64 - 1}\n/nix/store/{TWO}\n", STORE)

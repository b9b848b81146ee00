"""The texts with which Nix registers paths: read strictly, written as Nix writes them."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.derivations.references_graph import GraphNode, parse_graph, print_graph
from graft.formats.hashing import NIX32_ALPHABET, nix32_encode, sri_encode
from graft.formats.registration import Registration, parse_registrations, print_registrations
from graft.formats.store_path import StoreDir, StorePath
from tests.real_nix import RealNix
from tests.store_objects import add_object, new_store

STORE = StoreDir("/nix/store")
HASH = "0123456789abcdfghijklmnpqrsvwxyz"
ONE, TWO = StorePath(f"{HASH}-one-1.0"), StorePath(f"{HASH[::-1]}-two-2.0")
DERIVER = StorePath(f"{HASH}-one-1.0.drv")
DIGEST = bytes(range(32))

GRAPH = f"""\
/nix/store/{ONE}
/nix/store/{DERIVER}
2
/nix/store/{ONE}
/nix/store/{TWO}
/nix/store/{TWO}

0
"""
DUMP = f"""\
/nix/store/{ONE}
{DIGEST.hex()}
4096
/nix/store/{DERIVER}
2
/nix/store/{ONE}
/nix/store/{TWO}
/nix/store/{TWO}
{DIGEST.hex()}
120

0
"""

_paths = st.builds(
    lambda hash_part, name: StorePath(f"{hash_part}-{name}"),
    st.text(NIX32_ALPHABET, min_size=32, max_size=32),
    st.from_regex(r"[a-z][a-z0-9+\-._?=]{0,20}", fullmatch=True),
)
_ends = {
    "path": _paths,
    "deriver": st.none() | _paths,
    "references": st.lists(_paths, max_size=4, unique=True).map(tuple),
}
_nodes = st.lists(st.builds(GraphNode, **_ends), max_size=4)
_registrations = st.lists(
    st.builds(
        Registration,
        nar_hash=st.binary(min_size=32, max_size=32),
        nar_size=st.integers(0, 2**64 - 1),
        **_ends,
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


def test_a_dump_of_the_database_is_read_and_written() -> None:
    registrations = [
        Registration(
            path=ONE, nar_hash=DIGEST, nar_size=4096, deriver=DERIVER, references=(ONE, TWO)
        ),
        Registration(path=TWO, nar_hash=DIGEST, nar_size=120),
    ]
    assert parse_registrations(DUMP, STORE) == registrations
    assert print_registrations(registrations, STORE) == DUMP


def test_no_text_registers_nothing() -> None:
    assert parse_graph("", STORE) == []
    assert parse_registrations("", STORE) == []


@given(_nodes, st.sampled_from(["/nix/store", "/gnu/store", "/tmp/a b"]).map(StoreDir))
def test_every_references_graph_is_read_back(nodes: list[GraphNode], store_dir: StoreDir) -> None:
    assert parse_graph(print_graph(nodes, store_dir), store_dir) == nodes


@given(_registrations, st.sampled_from(["/nix/store", "/gnu/store", "/tmp/a b"]).map(StoreDir))
def test_every_dump_is_read_back(registrations: list[Registration], store_dir: StoreDir) -> None:
    text = print_registrations(registrations, store_dir)
    assert parse_registrations(text, store_dir) == registrations


_line = st.one_of(
    st.sampled_from(
        [*DUMP.split("\n"), "", "0", "1", "00", "-1", "+1", "\uff11", "9" * 30, "\r", "~"]
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
    text = draw(st.sampled_from([GRAPH, DUMP]))
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    return text[:start] + draw(st.sampled_from(["", text[start:end] * 2]) | st.text()) + text[end:]


@given(_texts | _spoiled())
def test_any_text_is_a_document_or_a_typed_error(text: str) -> None:
    try:
        nodes = parse_graph(text, STORE)
    except BadFormatError:
        pass
    else:
        again = print_graph(nodes, STORE)
        assert parse_graph(again, STORE) == nodes
    try:
        registrations = parse_registrations(text, STORE)
    except BadFormatError:
        pass
    else:
        again = print_registrations(registrations, STORE)
        assert parse_registrations(again, STORE) == registrations


@pytest.mark.parametrize(
    "spelling",
    [
        DIGEST.hex(),
        DIGEST.hex().upper(),
        nix32_encode(DIGEST),
        f"sha256:{DIGEST.hex()}",
        f"sha256:{nix32_encode(DIGEST)}",
        base64.b64encode(DIGEST).decode(),
        sri_encode(DIGEST),
    ],
)
def test_a_hash_may_be_spelled_as_nix_spells_hashes(spelling: str) -> None:
    (found,) = parse_registrations(f"/nix/store/{ONE}\n{spelling}\n1\n\n0\n", STORE)
    assert found.nar_hash == DIGEST


@pytest.mark.parametrize(
    "spelling",
    ["", "sha256:", f"sha1:{DIGEST.hex()[:40]}", DIGEST.hex()[:40], "ab" * 31 + "  ", "0" * 63],
)
def test_what_is_no_sha256_is_an_error(spelling: str) -> None:
    with pytest.raises(BadFormatError, match="line 2"):
        parse_registrations(f"/nix/store/{ONE}\n{spelling}\n1\n\n0\n", STORE)


@pytest.mark.parametrize("number", ["", "x", "-1", "+1", " 1", "1.0", "1_0", "\uff11", str(2**64)])
def test_what_is_no_number_is_an_error(number: str) -> None:
    with pytest.raises(BadFormatError, match="line 3"):
        parse_registrations(f"/nix/store/{ONE}\n{DIGEST.hex()}\n{number}\n\n0\n", STORE)
    with pytest.raises(BadFormatError, match="line 3"):
        parse_graph(f"/nix/store/{ONE}\n\n{number}\n", STORE)


@pytest.mark.parametrize("end", range(1, len(DUMP)))
def test_a_dump_that_is_cut_is_an_error(end: int) -> None:
    if DUMP[:end].endswith(f"{TWO}\n") and DUMP[:end].count(TWO) == 1:
        # Nothing is missing: the first path is whole.
        assert len(parse_registrations(DUMP[:end], STORE)) == 1
        return
    with pytest.raises(BadFormatError):
        parse_registrations(DUMP[:end], STORE)


def test_a_path_of_another_store_is_an_error() -> None:
    with pytest.raises(BadFormatError, match="line 1"):
        parse_graph(GRAPH, StoreDir("/gnu/store"))


def test_a_reference_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(BadFormatError, match="twice"):
        parse_graph(f"/nix/store/{ONE}\n\n2\n" + f"/nix/store/{TWO}\n" * 2, STORE)


def test_a_number_of_references_that_lies_takes_no_memory() -> None:
    with pytest.raises(BadFormatError, match="ends"):
        parse_graph(f"/nix/store/{ONE}\n\n{2**64 - 1}\n/nix/store/{TWO}\n", STORE)


@pytest.mark.nix
def test_nix_loads_what_is_printed_and_dumps_it_again(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    nix = RealNix(store.location, tmp_path)
    one = add_object(store, "one-1", {"own": b"{self}\n"})
    add_object(store, "two-1", store.store_dir.path(one), [one])
    text = nix.run("nix-store", "--dump-db")
    registrations = parse_registrations(text, store.store_dir)
    assert print_registrations(registrations, store.store_dir) == text
    store.close()
    for file in Path(store.location.database_dir).iterdir():
        file.unlink()
    assert nix.run("nix-store", "--dump-db") == ""
    subprocess.run(
        ["nix-store", "--load-db"], env=nix.environment, input=text, text=True, check=True
    )
    assert nix.run("nix-store", "--dump-db") == text
    nix.check()

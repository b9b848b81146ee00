"""Two derivations laid side by side, without a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from graft.formats.derivations.derivation import Derivation, DerivationOutput
from graft.formats.derivations.output_path import output_path_name, upstream_placeholder
from graft.formats.hashing import NIX32_ALPHABET
from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from graft.ways.diff.derivation_pair import DerivationPair, pair_derivations
from graft.ways.diff.packages import Derivations
from graft.ways.diff.texts import Mention, Mentions

_hash_parts = st.text(NIX32_ALPHABET, min_size=32, max_size=32)
_NAMES = ["lib-1.0", "lib-2.0", "tool-1.0", "source", "a", "openssl-3.0.20"]


def built(derivation: StorePath, hash_part: str, *outputs: str) -> Derivation:
    name = derivation.derivation_name
    return Derivation(
        outputs=tuple(
            DerivationOutput(
                name=output, path=StorePath(f"{hash_part}-{output_path_name(name, output)}")
            )
            for output in outputs
        ),
        platform="x",
        builder="/bin/sh",
    )


class Side:
    """A derivation with inputs of certain hash parts, told apart by their numbers."""

    def __init__(
        self,
        inputs: list[tuple[str, str, str]],
        texts: list[list[int | str]],
        sources: list[str],
    ) -> None:
        self.known: dict[StorePath, Derivation] = {}
        self.drvs = []
        for name, drv_hash, out_hash in inputs:
            path = StorePath(f"{drv_hash}-{name}.drv")
            self.known[path] = built(path, out_hash, "out")
            self.drvs.append(path)
        self.top = StorePath(f"{'0' * 32}-top-1.0.drv")
        self.known[self.top] = Derivation(
            outputs=(DerivationOutput(name="out", path=StorePath(f"{'1' * 32}-top-1.0")),),
            input_derivations=tuple((path, ("out",)) for path in sorted(self.drvs)),
            input_sources=tuple(StorePath(source) for source in sources),
            platform="x",
            builder="/bin/sh",
            environment=tuple(
                (f"v{number}", "".join(map(self.text, text))) for number, text in enumerate(texts)
            ),
        )

    def text(self, part: int | str) -> str:
        if isinstance(part, str):
            return part
        output = self.known[self.drvs[part]].outputs[0].path
        return f"/nix/store/{output}"


class _NoStore(LocalStore):
    """Never asked: everything is known."""

    def __init__(self) -> None:
        pass


def pair(one: Side, other: Side) -> DerivationPair:
    store = _NoStore()
    return pair_derivations(
        (one.top, Derivations(store, one.known)), (other.top, Derivations(store, other.known)), {}
    )


@st.composite
def _sides(draw: st.DrawFn) -> tuple[list[str], list[str], list[str], list[list[int | str]]]:
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=1, max_size=4))
    count = 4 * len(names)
    hashes = draw(st.lists(_hash_parts, min_size=count, max_size=count, unique=True))
    part = st.integers(0, len(names) - 1) | st.sampled_from(["", "-L", " ", "/bin/x", "abc"])
    texts = draw(st.lists(st.lists(part, max_size=5), min_size=1, max_size=3))
    # Every input is spoken of: of what no text speaks of only the names can tell.
    texts.append([*range(len(names))])
    return names, hashes[: count // 2], hashes[count // 2 :], texts


def inputs(names: list[str], hashes: list[str]) -> list[tuple[str, str, str]]:
    return list(zip(names, hashes[::2], hashes[1::2], strict=True))


@given(_sides())
def test_other_inputs_in_the_same_places_are_no_difference(
    drawn: tuple[list[str], list[str], list[str], list[list[int | str]]],
) -> None:
    names, ours, theirs, texts = drawn
    one, other = Side(inputs(names, ours), texts, []), Side(inputs(names, theirs), texts, [])
    found = pair(one, other)
    assert found.changes == ()
    assert found.derivations == dict(zip(one.drvs, other.drvs, strict=True))


@given(_sides(), st.data())
def test_any_other_text_is_a_difference(
    drawn: tuple[list[str], list[str], list[str], list[list[int | str]]], data: st.DataObject
) -> None:
    names, ours, theirs, texts = drawn
    changed = [list(text) for text in texts]
    place = data.draw(st.integers(0, len(texts) - 2))
    changed[place].insert(data.draw(st.integers(0, len(changed[place]))), "%")
    found = pair(Side(inputs(names, ours), texts, []), Side(inputs(names, theirs), changed, []))
    assert found.changes == ("environment",)
    assert found.variables == (f"v{place}",)


def test_two_inputs_that_change_places_are_a_difference() -> None:
    names = ["lib-1.0", "lib-1.0"]
    ours = inputs(names, [letter * 32 for letter in "abcd"])
    swapped: list[list[int | str]] = [[0, " ", 1, " ", 0]]
    assert pair(Side(ours, [[0, " ", 1, " ", 1]], []), Side(ours, swapped, [])).changes
    theirs = inputs(names, [letter * 32 for letter in "ijkl"])
    found = pair(Side(ours, [[0, " ", 1]], []), Side(theirs, [[1, " ", 0]], []))
    # Both are new: which of the two is which only the places can tell.
    assert found.changes == ()
    assert len(found.derivations) == 2


def test_structured_attributes_are_told_apart() -> None:
    def side(attributes: str) -> Side:
        made = Side([], [], [])
        top = made.known[made.top]
        made.known[made.top] = replace(top, environment=(("__json", attributes),))
        return made

    one = '{"flags": ["-O2", {"x": 1}], "name": "top", "env": {}}'
    found = pair(side(one), side(one.replace("O2", "O3")))
    assert (found.changes, found.variables) == (("environment",), ("flags",))
    assert pair(side(one), side(one)).changes == ()
    assert pair(side("[]"), side("{")).variables == ("__json",)


def test_a_source_is_the_derivation_s_own() -> None:
    ours, theirs = (f"{letter * 32}-lib.tar.gz" for letter in "ab")
    one = Side([], [[f"/nix/store/{ours}"]], [ours])
    other = Side([], [[f"/nix/store/{theirs}"]], [theirs])
    found = pair(one, other)
    assert found.changes == ("source",)
    assert found.sources == {ours: theirs}


def test_what_is_not_built_yet_is_found_by_its_placeholder() -> None:
    drv = StorePath(f"{'a' * 32}-lib-1.0.drv")
    below = Derivation(
        outputs=(DerivationOutput(name="out", path=None, algorithm="r:sha256"),),
        platform="x",
        builder="/bin/sh",
    )
    top = Derivation(
        outputs=(), input_derivations=((drv, ("out",)),), platform="x", builder="/bin/sh"
    )
    known: Mapping[StorePath, Derivation] = {drv: below}
    mentions = Mentions(top, Derivations(_NoStore(), known))
    text = upstream_placeholder(drv, "out")
    expected = ("-L", Mention(kind="output", path=drv, output="out"), "/lib")
    assert mentions.pieces(f"-L{text}/lib") == expected

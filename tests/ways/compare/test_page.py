"""The comparison's HTML file as text: self-contained, and nothing in it ends what it stands in."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import graft.ways.compare
from graft.ways.compare.page import drawing, render
from tests.examples import examples
from tests.ways.compare.documents import comparison, large_document, small_document


class _Page(HTMLParser):
    """Gathers the texts of elements, and every attribute."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.data: list[str] = []
        self.in_data = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.in_data = tag == "script" and ("id", "data") in attrs

    def handle_endtag(self, tag: str) -> None:
        self.in_data &= tag != "script"

    def handle_data(self, data: str) -> None:
        if self.in_data:
            self.data.append(data)


def tiny_document() -> dict[str, Any]:
    return comparison(["app", "old-1", "new-1"], [[1], [], []], {1: 2}, probes=("bin/app",))


def embedded(page: str) -> Any:
    return json.loads("".join(_Page(page).data))


@examples(0.16)  # a page takes its time, so each has many texts
@given(st.lists(st.text(st.characters()), min_size=1, max_size=30))
def test_any_text_survives_in_the_data_and_ends_nothing(texts: list[str]) -> None:
    document = tiny_document()
    expected_tags = _Page(render(document)).tags
    document["closure"][0]["pivots"] = texts
    document["ways"][0]["who"] = f"x{texts[0]}"
    document["original_probes"][0]["command"] = texts[0]
    document["ways"][0]["probes"][0]["difference"] = "x".join(texts)
    page = render(document)
    assert embedded(page)["pivots"] == {"0": texts}
    page.encode()
    extra = set(_Page(page).tags) - set(expected_tags)
    assert not extra


def test_the_end_of_a_script_in_a_text_ends_no_script() -> None:
    document = tiny_document()
    hostile = "</script><script>alert(1)</script><!--"
    document["closure"][0]["pivots"] = [hostile]
    document["warnings"][0]["message"] = hostile
    page = render(document)
    assert hostile not in page
    assert _Page(page).tags.count("script") == 2
    assert embedded(page)["pivots"] == {"0": [hostile]}


def test_nothing_is_loaded_and_nothing_has_a_style_of_its_own() -> None:
    parsed = _Page(render(small_document()))
    named = {name for name, _ in parsed.attributes}
    assert not named & {"src", "style", "onclick", "onload"}
    assert all((value or "").startswith("#") for name, value in parsed.attributes if name == "href")


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    document = tiny_document()
    for way in document["ways"]:
        way.update(
            dict.fromkeys(
                (
                    "paths_changed",
                    "bytes",
                    "seconds",
                    "coverage",
                    "old_references_left",
                    "who",
                    "undo",
                )
            )
        )
        way["what_happens"] = None
    document["ways"][3] |= {"derivations": None, "levels": None}
    page = render(document)
    assert page.count("not known") >= 4 * 9
    assert "None" not in page


def test_the_same_document_gives_the_same_page() -> None:
    document = small_document()
    assert render(document) == render(copy.deepcopy(document))


def test_the_headline_says_what_is_replaced_and_how_much_changes() -> None:
    page = render(small_document())
    assert "openssl 3.0.14 → 3.0.15 in devtools-env: 20 of 95 paths change</h1>" in page
    assert "<title>graft compare: openssl 3.0.14 → 3.0.15 in devtools-env</title>" in page
    verdict = re.search(r'<p class="verdict">(.*?)</p>', page)
    assert verdict is not None
    assert verdict[1].startswith("Graft reaches 20 of 21 dependents of OLD, pivot 1, mount 21")
    assert verdict[1].count(". ") == 1
    assert "pivot: 20 dependents of OLD do not see NEW" in page


def test_the_drawing_has_every_path_and_its_chain() -> None:
    document = small_document()
    drawn = drawing(document)
    for number, entry in enumerate(document["closure"]):
        chain = [drawn["directory"] + drawn["names"][path] for path in drawn["chains"][number]]
        assert drawn["directory"] + drawn["names"][number] == entry["path"]
        assert chain == entry["chain"]


def test_five_thousand_paths_stay_below_three_megabytes() -> None:
    assert len(render(large_document()).encode()) < 3_000_000


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, by WCAG 2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_colour_of_text_stands_out_in_the_light_and_in_the_dark() -> None:
    style = (Path(graft.ways.compare.__file__).parent / "assets" / "page.css").read_text()
    palettes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(palettes) == 2
    for palette in palettes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", palette))
        kinds = {"replaced", "new", "rewritten", "shared", "cutoff", "pivot"}
        for text, grounds in [
            *((name, ["paper", "raised"]) for name in ("ink", "quiet", "accent", *kinds)),
            *(("ink", [f"{kind}-fill"]) for kind in kinds),
        ]:
            for ground in grounds:
                dark, light = sorted(luminance(colours[name]) for name in (text, ground))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)

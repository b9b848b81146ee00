"""The comparison's HTML file in a real browser: drawing, search, clicks and keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from graft.ways.compare.page import render
from tests.ways.compare.documents import large_document, small_document

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium", "chromedriver")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def opened(
    browser: Chrome, directory: Path, document: dict[str, Any], scheme: str = "light"
) -> None:
    """Opens a page that stands still: what moves cannot be clicked at once."""
    features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    media = {"features": [{"name": name, "value": value} for name, value in features.items()]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    page = directory / "page.html"
    page.write_text(render(document), "utf-8")
    browser.get(page.as_uri())
    assert console(browser) == []


def console(browser: Chrome) -> list[dict[str, Any]]:
    """What the page, its policy included, has complained of since it was last asked."""
    said: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return said


def texts(browser: Chrome, selector: str) -> list[str]:
    return [element.text for element in browser.find_elements(By.CSS_SELECTOR, selector)]


def find(browser: Chrome, text: str) -> None:
    query = browser.find_element(By.ID, "query")
    query.clear()
    query.send_keys(text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_renders_in_light_and_dark_without_a_word_on_the_console(
    browser: Chrome, tmp_path: Path, scheme: str
) -> None:
    opened(browser, tmp_path, small_document(), scheme)
    paper = browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    assert paper == {"light": "rgba(255, 255, 255, 1)", "dark": "rgba(20, 23, 28, 1)"}[scheme]
    assert len(browser.find_elements(By.CSS_SELECTOR, "#graph .node")) > 20
    browser.find_element(By.CSS_SELECTOR, '[data-kind="shared"]').click()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#graph .node")) > 60


_LABELS = """
const canvas = document.getElementById("graph").getBoundingClientRect();
const zoom = new DOMMatrix(getComputedStyle(document.querySelector(".scene")).transform).a;
const texts = [...document.querySelectorAll("#graph .boxes text")];
return texts.filter((text) => text.textContent).map((text) => {
  const { left, right, top, bottom } = text.getBoundingClientRect();
  const beside = left >= canvas.left && right <= canvas.right;
  const inside = beside && top >= canvas.top && bottom <= canvas.bottom;
  const size = parseFloat(getComputedStyle(text).fontSize) * zoom;
  return { text: text.textContent, left, right, top, bottom, inside, size };
});
"""


@pytest.mark.parametrize("paths", [95, 434])
def test_it_opens_with_old_selected_and_every_label_readable(
    browser: Chrome, tmp_path: Path, paths: int
) -> None:
    browser.set_window_size(1280, 800)
    height = 800 + 800 - browser.execute_script("return innerHeight")
    browser.set_window_size(1280, height)
    opened(browser, tmp_path, small_document() if paths < 100 else large_document(paths, 47))
    assert browser.find_element(By.CSS_SELECTOR, "#panel .role").text == "replaced (OLD)"
    assert len(browser.find_elements(By.CSS_SELECTOR, "#graph .selected")) == 1
    labels = browser.execute_script(_LABELS)
    assert len(labels) > (10 if paths < 100 else 40)
    for number, one in enumerate(labels):
        assert one["inside"], one
        assert one["size"] >= 11, one
        assert "…" not in one["text"]
        for other in labels[number + 1 :]:
            aside = one["right"] <= other["left"] or other["right"] <= one["left"]
            assert aside or one["bottom"] <= other["top"] or other["bottom"] <= one["top"]


def test_a_search_counts_and_enter_goes_from_one_to_the_next(
    browser: Chrome, tmp_path: Path
) -> None:
    opened(browser, tmp_path, small_document())
    find(browser, "curl")
    assert texts(browser, "#found") == ["2 paths found"]
    names = []
    for _ in range(2):
        browser.find_element(By.ID, "query").send_keys(Keys.ENTER)
        names += texts(browser, "#panel h3")
    assert sorted(names) == ["curl-8.9.1", "curl-8.9.1-bin"]
    find(browser, "no such thing")
    assert texts(browser, "#found") == ["nothing found"]


def test_a_click_shows_the_chain_and_its_links_select(browser: Chrome, tmp_path: Path) -> None:
    opened(browser, tmp_path, small_document())
    browser.find_element(By.CSS_SELECTOR, '[aria-label^="postgresql-16.3,"]').click()
    assert texts(browser, "#panel h3") == ["postgresql-16.3"]
    links = browser.find_elements(By.CSS_SELECTOR, "#panel .chain button")
    assert [link.text.split()[-1] for link in links] == ["postgresql-16.3", "openssl-3.0.14"]
    assert browser.find_element(By.CSS_SELECTOR, ".selection .chain").get_attribute("d")
    links[-1].click()
    assert texts(browser, "#panel h3") == ["openssl-3.0.14"]


def test_the_keyboard_alone_moves_and_selects(browser: Chrome, tmp_path: Path) -> None:
    opened(browser, tmp_path, small_document())
    old = browser.find_element(By.CSS_SELECTOR, '#graph [tabindex="0"]')
    assert (old.get_attribute("aria-label") or "").startswith("openssl-3.0.14,")
    old.send_keys(Keys.ARROW_UP)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    label = browser.switch_to.active_element.get_attribute("aria-label") or ""
    assert not label.startswith("openssl-3.0.14,")
    assert label.startswith(texts(browser, "#panel h3")[0])
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert texts(browser, "#panel h3") == ["No path is selected"]


def test_a_kind_that_is_switched_off_is_not_drawn(browser: Chrome, tmp_path: Path) -> None:
    opened(browser, tmp_path, small_document())
    button = browser.find_element(By.CSS_SELECTOR, '[data-kind="rewritten"]')
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert browser.find_elements(By.CSS_SELECTOR, "#graph .node.rewritten") == []


def test_five_thousand_paths_open_from_their_groups(browser: Chrome, tmp_path: Path) -> None:
    document = large_document()
    opened(browser, tmp_path, document)
    assert len(browser.find_elements(By.CSS_SELECTOR, "#graph [data-key]")) < 700
    shared = next(path["path"] for path in document["closure"] if path["role"] == "shared")
    find(browser, shared)
    browser.find_element(By.ID, "query").send_keys(Keys.ENTER)
    assert texts(browser, "#panel h3") == [shared.rpartition("/")[2][33:]]
    assert browser.find_elements(By.CSS_SELECTOR, '#graph .group[aria-expanded="true"]')
    assert console(browser) == []

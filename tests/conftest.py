"""What every test may rely on: the real tools, the golden files, and which kernel is at work."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from graft import kernel
from tests.examples import THOROUGH, USUAL
from tests.golden import Golden
from tests.store_objects import close_stores
from tests.tools import REQUIRE_ALL, need, present, skipped

# How long an example takes says nothing on a machine that others use as well.
settings.register_profile("graft", deadline=None, max_examples=USUAL)
settings.register_profile("thorough", deadline=None, max_examples=THOROUGH)
settings.load_profile("graft")

_TOOLS = {"nix": ("nix-store", "nix-build", "nix"), "sanitize": ("gcc",)}


def pytest_configure() -> None:
    # A parent that ignores interrupts hands that on, as a script does to a job in the background.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--accept", action="store_true", help="write what the tests got into the golden files"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the thorough tests out where they are not asked for."""
    if settings().max_examples >= THOROUGH or "thorough" in config.option.markexpr:
        return
    unwanted = [item for item in items if item.get_closest_marker("thorough")]
    config.hook.pytest_deselected(items=unwanted)
    items[:] = [item for item in items if item not in unwanted]


def pytest_report_header() -> list[str]:
    tools = {tool for names in _TOOLS.values() for tool in names}
    found = ", ".join(sorted(filter(present, tools))) or "none"
    return [f"graft kernel: {kernel.NAME}; tools: {found}; everything required: {REQUIRE_ALL}"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = [tool for marker in item.iter_markers("needs") for tool in marker.args]
    for name, tools in _TOOLS.items():
        if item.get_closest_marker(name) is not None:
            needed += tools
    need(needed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    for line in skipped(report.longrepr[2] for report in reports):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _stores_are_closed() -> Iterator[None]:
    yield
    close_stores()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares a text with the golden file of that name beside the test."""
    return Golden(request.path.parent / "golden", accept=bool(request.config.getoption("--accept")))

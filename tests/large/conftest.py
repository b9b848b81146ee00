"""What is here takes minutes and gigabytes: it runs only where it is asked for, with -m large."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "large" in config.option.markexpr:
        return
    here = Path(__file__).parent
    unwanted = [item for item in items if item.path.is_relative_to(here)]
    config.hook.pytest_deselected(items=unwanted)
    items[:] = [item for item in items if item not in unwanted]

"""How many examples a property takes: a share of what the profile says, fewer or many."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, settings

# Few, for there are many properties and they are tested often.
USUAL = 25
# `make test-thorough` takes so many, in hours.
THOROUGH = 1000


def examples(share: float, unchecked: Sequence[HealthCheck] = ()) -> settings:
    """Settings with a share of the profile's number of examples; an example may take any time.

    Args:
        unchecked: health checks that say nothing of this property.
    """
    count = max(1, round(share * settings().max_examples))
    return settings(max_examples=count, deadline=None, suppress_health_check=list(unchecked))

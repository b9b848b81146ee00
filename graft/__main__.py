"""`graft` and `python -m graft`."""

from __future__ import annotations

import gc
import sys

from graft.cli import run

# Large plans make hundreds of thousands of objects that all stay: looking through them again and
# again for circles that are garbage takes a third of the time.
OBJECTS_BEFORE_COLLECTION = 1_000_000


def main() -> None:
    """Runs the command line of this process and leaves with its exit status."""
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

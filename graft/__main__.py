"""`graft` and `python -m graft`."""

from __future__ import annotations

import sys

from graft.cli import run


def main() -> None:
    """Runs the command line of this process and leaves with its exit status."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

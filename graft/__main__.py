"""`graft` and `python -m graft`."""

from __future__ import annotations

import gc
import os
import sys

from graft.version import VERSION

# Large plans make hundreds of thousands of objects that all stay: looking through them again and
# again for circles that are garbage takes a third of the time.
OBJECTS_BEFORE_COLLECTION = 1_000_000


def main() -> None:
    """Runs the command line of this process and leaves with its exit status."""
    if sys.argv[1:] == ["--version"] and _print_version():
        return
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    # Late: click, which --version does without.
    from graft.cli.terminal import open_missing_streams  # noqa: PLC0415

    open_missing_streams()
    from graft.cli import run  # noqa: PLC0415

    sys.exit(run(sys.argv[1:]))


def _print_version() -> bool:
    """Prints the version; False if it cannot be told or written, which `run` then says."""
    try:
        from graft.kernel import NAME  # noqa: PLC0415 - late: it may fail

        # Not by `print`: a text that cannot be written would stay in its buffer.
        os.write(sys.stdout.fileno(), f"graft {VERSION} (kernel: {NAME})\n".encode())
    except Exception:  # noqa: BLE001 - `run` meets it again, and names the remedy
        return False
    return True


if __name__ == "__main__":
    main()

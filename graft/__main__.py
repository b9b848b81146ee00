"""`graft` and `python -m graft`."""

from __future__ import annotations

import gc
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
    from graft.cli import run  # noqa: PLC0415 - late: click, which --version does without

    sys.exit(run(sys.argv[1:]))


def _print_version() -> bool:
    """Prints the version; False if the kernel cannot be loaded, which `run` then says."""
    try:
        from graft.kernel import NAME  # noqa: PLC0415 - late: it may fail
    except Exception:  # noqa: BLE001 - `run` meets it again, and names the remedy
        return False
    print(f"graft {VERSION} (kernel: {NAME})")
    return True


if __name__ == "__main__":
    main()

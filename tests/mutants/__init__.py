"""Mutants: one small fault at a time in graft's rooms, to see whether a test falls over each.

    python -m tests.mutants [--rooms jobs,machine,store] [--count 100] [--seed 1]

One run under coverage tells which tests run a line, in their own process or in a child; its result
is kept below build/. It runs the unit part, and the rooms' tests of real tools and servers. A
mutant is tried with these tests alone, in a fork of one process that has collected every test. No
file is changed. Each mutant that lives is printed, and also written to build/mutants/alive.txt.
"""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
KEPT = ROOT / "build" / "mutants"
SITE = Path(__file__).parent / "site"
ROOMS = ("jobs", "machine", "store")
UNIT = "not nix and not sanitize and not slow and not thorough"
OTHER = "(nix or slow) and not sanitize and not thorough and not large"

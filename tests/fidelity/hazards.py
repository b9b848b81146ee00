"""The catalogue of what blind rewriting of hashes breaks or misses, and samples of each."""

from __future__ import annotations

from tests.fidelity import compiled, containers, programs, trees

OUTSIDE = {
    "setuid wrappers, /run/*": "outside of the store: they are what they were until the next "
    "activation or restart",
}
"""Hazards of which there can be no sample, and why."""

HAZARDS = (
    containers.COMPRESSED,
    containers.VISIBLE,
    containers.INITRD,
    containers.IMAGES,
    containers.ZIP,
    containers.SIGNED_JAR,
    containers.TAR,
    containers.AR,
    programs.MACH_O,
    programs.SIGNED,
    programs.DEBUGLINK,
    programs.BUILD_ID,
    programs.SECTIONS,
    programs.FRAGMENTS,
    trees.WIDE,
    trees.SPELLED,
    compiled.CHECKSUMS,
    compiled.SCHEME,
    compiled.BEAM,
    compiled.SBCL,
    compiled.R,
    compiled.EMACS,
    compiled.PYC_TIME,
    compiled.PYC_HASH,
    compiled.RECORD,
    compiled.PACKAGES,
    compiled.GO,
    compiled.ABI,
    trees.SQLITE,
    trees.TABLES,
    trees.CACHES,
    trees.FONTS,
    trees.NAMES,
    trees.LISTS,
    containers.TEX,
    trees.UNITS,
    *OUTSIDE,
    programs.COPIES,
    trees.TREES,
)
"""All of them, in the order of the table."""

SAMPLES = tuple(
    sorted(
        (*containers.SAMPLES, *programs.SAMPLES, *compiled.SAMPLES, *trees.SAMPLES),
        key=lambda sample: HAZARDS.index(sample.hazard),
    )
)
"""In the order of the table."""

"""Fragments: store paths that a compiler has cut into immediates and constants of its code.

A copy or a comparison of a short string becomes a few moves of 4, 8, 16 or 32 bytes: no whole hash
part is left to be found. Every piece says by its characters which part of the path it is, so the
order in which the compiler put them does not matter. They are rewritten where all 32 characters
are there, within one function; one piece alone never is.
"""

from graft.fixups.fragments.finder import Fragment, FragmentFinder, Rewritten, Seed

__all__ = ["Fragment", "FragmentFinder", "Rewritten", "Seed"]

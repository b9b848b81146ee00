"""Pivots: data that programs look up at run time instead of having it built in."""

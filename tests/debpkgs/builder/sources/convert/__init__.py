"""Turns unpacked Debian packages into store paths; the standard library only, inside a build."""

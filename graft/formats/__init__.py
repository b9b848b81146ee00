"""Formats of Nix and Guix, pure: bytes or text in, values out; nothing here opens a file."""

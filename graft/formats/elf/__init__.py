"""ELF files: the loader's view, their sections, and the addresses of bytes at run time."""

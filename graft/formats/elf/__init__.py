"""ELF files: what the loader reads of them, their sections, and where bytes stand at run time."""

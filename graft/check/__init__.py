"""The checks of a plan before it is carried out, and of its result."""

"""The other ways to replace a dependency, and all of them side by side."""

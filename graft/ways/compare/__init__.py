"""The ways to replace a dependency, side by side on one closure."""

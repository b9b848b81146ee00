"""Derivations, and all that Nix writes about them: pure, as all of formats."""

"""The directory Nix imports as the builds' Python sources."""

"""What runs inside the Nix builds: expressions, scripts, and the Python package `convert`."""

"""Where store paths live: the protocol, and the stores that keep it."""

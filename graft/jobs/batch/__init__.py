"""Many jobs at once: what they share is done once, and one that fails does not stop the others."""

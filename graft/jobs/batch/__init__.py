"""Many jobs at once: shared work is done once, and a failed job does not stop the others."""

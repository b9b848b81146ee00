"""What blind rewriting breaks or misses, and what graft does: samples of every hazard, judged."""

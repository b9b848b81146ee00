"""GC roots and profiles: what keeps store paths alive."""

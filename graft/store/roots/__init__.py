"""GC roots and profiles, which keep store paths alive."""

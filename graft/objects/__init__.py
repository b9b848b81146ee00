"""One store object, a tree or a NAR: read, searched, rewritten."""

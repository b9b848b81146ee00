"""Binary caches, wherever their files are: a directory, a server, a bucket."""

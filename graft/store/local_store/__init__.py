"""The parts of a store on this machine: its database, its locks, its directory."""

"""What a store on this machine is made of: its database, its locks, its directory."""

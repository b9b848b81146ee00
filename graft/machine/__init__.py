"""What a machine holds and runs: roots, places, processes, NixOS, the record of grafts."""

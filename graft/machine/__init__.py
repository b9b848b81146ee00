"""The state of a machine: roots, places, processes, NixOS, the record of grafts."""

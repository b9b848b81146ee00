"""Properties of each way for every closure: docs/explanation/choosing.md gives the reasons."""

from __future__ import annotations

from graft.ways.compare.way import Prose

_ENVIRONMENT = "cleared environment (env -i, sudo, systemd)"
_SETUID = "setuid programs"
_USER = "another user"
_BUILD = "build time"
_COLLECTION = "garbage collection"
_MACHINE = "copying to another machine"

PROSE = {
    "graft": Prose(
        who="a user with write access to the store",
        undo="switch back to the old root, which is untouched",
        what_happens={
            _ENVIRONMENT: "NEW is used: it is in the bytes",
            _SETUID: "NEW is used once the wrappers are made again, by activation",
            _USER: "NEW is used",
            _BUILD: "builds still see OLD: later builds must be grafted again",
            _COLLECTION: "kept by the new root's link or profile",
            _MACHINE: "copies like any closure; needs a signature or trust",
        },
    ),
    "pivot": Prose(
        who="the authors of every package that has it built in; the user's environment",
        undo="unset the variable, or remove the directory",
        what_happens={
            _ENVIRONMENT: "OLD is used: the variables are gone",
            _SETUID: "OLD is used: secure execution ignores the variables",
            _USER: "OLD is used, unless that user has the variables as well",
            _BUILD: "OLD is used: builds have an environment of their own",
            _COLLECTION: "only targets below a root are kept: create without -o makes one",
            _MACHINE: "OLD is used there: variables and links do not come along",
        },
    ),
    "mount": Prose(
        who="a kernel with user namespaces, and bubblewrap",
        undo="end the program",
        what_happens={
            _ENVIRONMENT: "children use NEW; sudo gets no rights, and systemd is outside",
            _SETUID: "they get no rights in the namespace; outside OLD is used",
            _USER: "OLD is used: the namespace is the program's own",
            _BUILD: "OLD is used: the daemon builds outside of the namespace",
            _COLLECTION: "NEW needs a root of its own while the program runs",
            _MACHINE: "OLD is used there: nothing was written",
        },
    ),
    "rebuild": Prose(
        who="a builder with the sources, and the time",
        undo="switch back to the old generation",
        what_happens={
            _ENVIRONMENT: "NEW is used: it is in the bytes",
            _SETUID: "NEW is used once the wrappers are made again, by activation",
            _USER: "NEW is used",
            _BUILD: "NEW is used: it is an input",
            _COLLECTION: "kept by the new root's link or profile",
            _MACHINE: "copies like any closure",
        },
    ),
}
"""By the way's name."""

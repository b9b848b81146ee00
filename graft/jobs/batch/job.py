"""What a job is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from graft.formats.hash_modulo import SelfReferences
from graft.plan import Addressing


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """From where to where, and how: jobs that agree in all of it share their work.

    Attributes:
        store: URL of the store in which roots and replacements are; None: that of the command.
        sources: URLs of stores where the rest comes from.
        target: URL of the store where the result goes; None: into `store`.
        addressing: how new names are found.
        self_references: of content addressing, the rule of the Nix that is to take the paths.
        compression: of NARs written to a cache; None is the default.
        level: of the compression; None is its own default.
        sign_keys: files of secret keys.
        trusted_public_keys: whose signatures are believed; if there are none, as Nix is configured.
        check_sigs: whether what comes from elsewhere must be signed.
        check_inputs: whether the bytes of originals are compared first.
        repair: whether broken new paths are made again.
        links: whether unchanged files may be hard links.
    """

    store: str | None
    sources: tuple[str, ...]
    target: str | None
    addressing: Addressing
    self_references: SelfReferences
    compression: str | None
    level: int | None
    sign_keys: tuple[str, ...]
    trusted_public_keys: tuple[str, ...]
    check_sigs: bool
    check_inputs: bool
    repair: bool
    links: bool

    def __repr__(self) -> str:
        """Nothing of the URLs: they may hold passwords, and schedulers log what they are given."""
        return f"<{type(self).__name__}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, as it was written.

    Attributes:
        name: no two jobs have the same.
        roots: path arguments, or patterns of them.
        replacements: pairs of path arguments.
        cutoffs: path arguments.
        initrd_cutoff: whether the initrds of NixOS systems are cut off as well.
        fixups: what is switched on or off of them.
        deep: whether the closure is read for hidden references.
        transfer: from where to where, and how.
        scope: what the proof reads; None: there is none.
        allowed: patterns of files in which residual references are accepted.
        add_roots: links to the new roots.
        profile: gets the new root as its generation.
        note: shown in reports.
        allow_abi_breaks: go on where a program will not work with what it will load.
        strict: it fails unless the proof is complete.
    """

    name: str
    roots: tuple[str, ...]
    replacements: tuple[tuple[str, str], ...]
    cutoffs: tuple[str, ...]
    initrd_cutoff: bool
    fixups: tuple[str, ...]
    deep: bool
    transfer: Transfer
    scope: Literal["closure", "rewritten"] | None
    allowed: tuple[str, ...]
    add_roots: tuple[str, ...]
    profile: str | None
    note: str | None
    allow_abi_breaks: bool = False
    strict: bool = False

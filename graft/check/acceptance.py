"""The conditions for a graft, and the faults that the user accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["closure", "rewritten"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """The conditions for a graft, and the faults that the user accepts.

    Attributes:
        scope: the paths that the proof reads; None for no proof.
        allowed: shell patterns of `BASENAME/FILE` in which residual references are accepted.
        strict: the result may only be used if the proof is complete; for scope `closure`.
        abi_breaks: go on where a program will not work with the libraries it will load.
        missing_files: go on where a path refers to a file of OLD that NEW lacks.
        abi_report: a file or a directory for abidiff's report on the libraries that change.
    """

    scope: Scope | None = "closure"
    allowed: tuple[str, ...] = ()
    strict: bool = False
    abi_breaks: bool = False
    missing_files: bool = False
    abi_report: str | None = None

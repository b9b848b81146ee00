"""The request of a job, from the command line, a jobs file, or a caller of `apply`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

from graft.check.acceptance import Acceptance
from graft.executor import Delivery
from graft.machine.places import Placement
from graft.plan import Plan
from graft.plan.request import Graft, PathT


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """From where to where, and how: jobs that agree in all of it share their work.

    Attributes:
        store: URL of the store that has roots and replacements; None for the command's.
        sources: URLs of stores where the rest comes from.
        target: URL of the store where the result goes; None: into `store`.
        key_files: files of secret keys, which sign new paths.
        trusted_public_keys: keys whose signatures are trusted; if empty, as Nix is configured.
        check_sigs: whether paths from elsewhere must be signed.
        delivery: how it is written; the keys are not read yet.
    """

    store: str | None = None
    sources: tuple[str, ...] = ()
    target: str | None = None
    key_files: tuple[str, ...] = ()
    trusted_public_keys: tuple[str, ...] = ()
    check_sigs: bool = True
    delivery: Delivery = field(default_factory=Delivery)

    def __repr__(self) -> str:
        """Nothing of the URLs: they may hold passwords, and schedulers log their tasks."""
        return f"<{type(self).__name__}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest(Generic[PathT]):
    """The request of one job, whose stores are given.

    Attributes:
        graft: the request of the plan.
        acceptance: the conditions of the result.
        placement: where the new roots are put.
        approve: is shown the plan before anything is written, and may raise to stop.
    """

    graft: Graft[PathT]
    acceptance: Acceptance = field(default_factory=Acceptance)
    placement: Placement = field(default_factory=Placement)
    approve: Callable[[Plan], object] = lambda _plan: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job of a jobs file, as it was written.

    Attributes:
        name: no two jobs have the same.
        request: in path arguments; roots may be patterns of them.
        transfer: from where to where, and how.
    """

    name: str
    request: JobRequest[str]
    transfer: Transfer

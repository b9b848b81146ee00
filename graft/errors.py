"""Every error graft raises on purpose: one lower-case sentence, typed fields, a stable kind."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from typing import ClassVar


class GraftError(Exception):
    """The root of graft's errors.

    Attributes:
        kind: a stable word for scripts, the `kind` of the JSON error object.
        fields: the objects the sentence speaks of, by name; JSON values.
    """

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields


class UsageError(GraftError):
    """The command line contradicts itself or names something of the wrong form."""

    kind = "usage"


class BadFormatError(GraftError):
    """A text or a stream does not follow its format."""

    kind = "bad-format"


class BadStorePathError(BadFormatError):
    """A text is no store path."""

    kind = "bad-store-path"


class BadTableError(GraftError):
    """A table of rewrites cannot be used."""

    kind = "bad-table"


class BadStoreUrlError(GraftError):
    """A `--store` URL is of no known form."""

    kind = "bad-store-url"


class StoreError(GraftError):
    """A store is missing, foreign, not writable, or says something impossible."""

    kind = "store"


class StoreMissingError(StoreError):
    """There is no store where one was named."""

    kind = "no-store"


class SchemaError(StoreError):
    """A store's database has a schema graft does not know."""

    kind = "foreign-schema"


class StorePermissionError(StoreError):
    """A store may not be read or written by this user."""

    kind = "store-permission"


class InvalidPathError(StoreError):
    """A store path is not valid in the store asked."""

    kind = "invalid-path"


class UnknownNameError(StoreError):
    """A name is the name of no path in the closure or the store at hand."""

    kind = "unknown-name"


class UndecidedError(GraftError):
    """The answer is neither yes nor no, since a version or a range cannot be compared."""

    kind = "undecided"


class AmbiguousNameError(StoreError):
    """A name means several paths that are no outputs of one derivation."""

    kind = "ambiguous-name"


class NoSpaceError(StoreError):
    """The file system of a store has too little room for the work."""

    kind = "no-space"


class CacheError(StoreError):
    """A binary cache cannot be reached, read or written."""

    kind = "cache"


class UnlistedCacheError(CacheError):
    """A binary cache has no list of its paths."""

    kind = "unlisted-cache"


class CorruptCacheError(CacheError):
    """A binary cache gave other data than it promised."""

    kind = "corrupt-cache"


class UntrustedPathError(StoreError):
    """No trusted key has signed a path that comes from elsewhere."""

    kind = "untrusted-path"


class DaemonError(StoreError):
    """Nix's daemon cannot be reached, or refuses a request."""

    kind = "daemon"


class UntrustedUserError(StorePermissionError):
    """Nix's daemon would not take the new paths from this user."""

    kind = "untrusted-user"


class TreeError(GraftError):
    """A directory tree cannot be read or written."""

    kind = "tree"


class FixupError(GraftError):
    """A file must not be left alone and cannot be rewritten soundly, or a fix-up fails on it."""

    kind = "fixup"


class UnsupportedFileError(TreeError):
    """A tree holds a device node, a socket or a pipe, which no store object may."""

    kind = "unsupported-file"


class NameCollisionError(TreeError):
    """Two entries of one directory would get the same name."""

    kind = "name-collision"


class ChangedFileError(TreeError):
    """A file became shorter or longer while it was read."""

    kind = "changed-file"


class PlanError(GraftError):
    """The replacements make no plan."""

    kind = "plan"


class ReplacementCycleError(PlanError):
    """The replacements lead back to where they began."""

    kind = "replacement-cycle"


class ReferenceCycleError(PlanError):
    """Store paths refer to each other in a circle that no replacement explains."""

    kind = "reference-cycle"


class ConflictingReplacementsError(PlanError):
    """One OLD was given two different NEW."""

    kind = "conflicting-replacements"


class NarOrderError(GraftError):
    """Rewritten names would break the order of a NAR that is a stream."""

    kind = "nar-order"


class CorruptOriginalError(GraftError):
    """An original's bytes are not the ones that its registered NAR hash promises."""

    kind = "corrupt-original"


class ContentAddressError(GraftError):
    """A path cannot be named after its contents."""

    kind = "content-address"


class StalePlanError(PlanError):
    """A new plan differs from the plan file."""

    kind = "stale-plan"


class AbiError(GraftError):
    """A program would not work with the library that it gets in the place of another."""

    kind = "abi"


class MissingFileError(GraftError):
    """A path refers to a file of OLD that NEW has not."""

    kind = "missing-file"


class AbiReportError(GraftError):
    """The report of abidiff on libraries cannot be had."""

    kind = "abi-report"


class RootLinkError(GraftError):
    """A garbage collector root cannot be made."""

    kind = "root-link"


class PivotError(GraftError):
    """Pivots cannot be made, found or used as they were asked for."""

    kind = "pivot"


class ProfileError(GraftError):
    """A profile cannot get, has not, or must keep a generation."""

    kind = "profile"


class ProvenanceError(GraftError):
    """The record of grafts cannot be read or written."""

    kind = "provenance"


class UngraftError(GraftError):
    """A graft cannot be taken back, or no graft has that name."""

    kind = "ungraft"


class ActivationError(GraftError):
    """A NixOS system cannot be activated, or its activation has failed."""

    kind = "activation"


class KernelError(GraftError):
    """The kernel demanded by GRAFT_KERNEL is not to be had."""

    kind = "kernel"


class ClusterError(GraftError):
    """Other machines cannot be given work, or died of it."""

    kind = "cluster"


class NamespaceError(GraftError):
    """No mount namespace can be made here."""

    kind = "namespace"


class MountError(GraftError):
    """NEW cannot lie over OLD."""

    kind = "mount"


class PackageCollisionError(GraftError):
    """Two packages have different files for one place."""

    kind = "package-collision"


class EvaluationError(GraftError):
    """Nix cannot evaluate an expression."""

    kind = "evaluation"


class OutputsError(PlanError):
    """The outputs of two derivations cannot be paired."""

    kind = "outputs"

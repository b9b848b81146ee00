"""References hidden inside of files: found, rewritten soundly, or left alone and reported.

One module per file type; `api` has the protocol of such a fix-up. The registry is here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from graft.errors import UsageError
from graft.fixups.api import HEAD, Fixup, FixupOutcome, LeftAloneError, Limits
from graft.fixups.entry_points import OwnFixup, users_own
from graft.fixups.rewrite import (
    FileDescent,
    FileSearch,
    InnerFile,
    Members,
    NameSearch,
    Siblings,
)
from graft.fixups.search import Finder, Look, Recogniser
from graft.kernel.place import Place, Site
from graft.kernel.sieve import EVERYTHING
from graft.kernel.tree.marks import Marks

if TYPE_CHECKING:
    from graft.fixups.fragments import FragmentFinder
    from graft.kernel import Table

__all__ = [
    "HEAD",
    "Finder",
    "Fixup",
    "FixupOutcome",
    "InnerFile",
    "LeftAloneError",
    "Limits",
    "Look",
    "NameSearch",
    "Recogniser",
    "Registry",
    "Siblings",
    "Switches",
    "registered",
    "registered_switches",
]

BUILT_IN = (
    "oci:OciBlob",
    "opaque:OPAQUE",
    "erofs:Erofs",
    "gzip:Gzip",
    "xz:Xz",
    "bzip2:Bzip2",
    "zstd:Zstd",
    "lz4:Lz4",
    "zip:Zip",
    "ar:Ar",
    "cpio:Initrd",
    "tar:Tar",
    "compound:CompoundFile",
    "sqlite:Sqlite",
    "tables:Gvdb",
    "tables:Cdb",
    "mo:Mo",
    "chunked:CHUNKED",
    "beam:Beam",
    "sbcl:SbclCore",
    "signed:KernelModule",
    "noted:NOTED",
    "bitcode:Bitcode",
    "signed:Pe",
    "macho:Macho",
    "elf:ElfFixup",
    "pyc:Pyc",
    "record:Record",
    "cargo:Cargo",
    "ocaml:Ocaml",
    "signed:Signature",
    "guarded:Guarded",
    "checksums:Checksums",
)
"""The built-in ones in their order: a module of this package, and in it a class or a tuple."""

NO_BOMBS = Limits()
"""How far files are opened, unless something else is said."""

_ALONE = Members([], lambda _siblings, _path, data: data)


class _TableFinder:
    """Hash parts as they stand."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def sift(self, data: bytes) -> int:
        del data
        return EVERYTHING

    def find(self, data: bytes, site: Site) -> Iterable[Place]:
        return site.places(self._table, data)

    def find_apart(self, data: bytes, site: Site, *, suspected: bool) -> Iterable[Place]:
        del data, site, suspected
        return ()


@dataclass(frozen=True, slots=True)
class Registry:
    """Fix-ups in their order, and which of them rewrite.

    Attributes:
        fixups: a file is its first's that recognises it.
        switched_on: names of the fix-ups that rewrite. The others look inside all the same: their
            finds are reported, and the file left alone.
        replaced: hash parts of paths whose place other packages take. An archive with files of such
            a path is left alone: OLD's files would lie below NEW's name.
        users_own: names of the fix-ups that are not built in.
    """

    fixups: tuple[Fixup, ...]
    switched_on: frozenset[str]
    limits: Limits = NO_BOMBS
    users_own: frozenset[str] = frozenset()
    replaced: frozenset[bytes] = frozenset()
    _recogniser: Recogniser = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_recogniser", Recogniser(self.fixups))

    @property
    def recogniser(self) -> Recogniser:
        """The recogniser of files that may hold more than a search of their bytes finds."""
        return Recogniser(fixup for fixup in self.fixups if fixup.is_looked_into)

    @property
    def marks(self) -> Marks:
        """The marks of files that one of the fix-ups may rewrite: for a walk."""
        return _marks(self.fixups)

    @property
    def searched_marks(self) -> Marks:
        """The same, for files that may hold references not seen in the open."""
        return _marks([fixup for fixup in self.fixups if fixup.is_looked_into])

    @property
    def sums(self) -> bool:
        """Whether checksums that are kept as text are to match the new files."""
        return "checksums" in self.switched_on

    @property
    def switched(self) -> tuple[str, ...]:
        """The differences from the defaults that make the same registry of `registered`, sorted."""
        return tuple(
            sorted(
                fixup.name if fixup.name in self.switched_on else f"no-{fixup.name}"
                for fixup in self.fixups
                if (fixup.name in self.switched_on) != fixup.by_default
            )
        )

    @property
    def switches(self) -> tuple[str, ...]:
        """The differences from the defaults, as new store paths' names have to say it, sorted.

        Users' own fix-ups are among it in any case: one that is switched off leaves its files
        alone, which others would rewrite.
        """
        switches = []
        for fixup in self.fixups:
            on = fixup.name in self.switched_on
            own = fixup.name in self.users_own
            if own or on != fixup.by_default:
                where = f" {fixup.origin}" if isinstance(fixup, OwnFixup) else ""
                switches.append(f"{'' if on else 'no-'}{fixup.name} {fixup.version}{where}")
        switches += [
            f"limit-{limit.name} {value}"
            for limit in fields(Limits)
            if (value := getattr(self.limits, limit.name)) != getattr(NO_BOMBS, limit.name)
        ]
        return tuple(sorted(switches))

    def recognise(self, head: bytes, name: bytes) -> Fixup | None:
        """The fix-up whose type a file is.

        Args:
            head: its first bytes, `HEAD` of them if there are.
            name: its own, without directories.
        """
        return self._recogniser(head, name)

    def references(
        self, data: bytes, name: bytes, table: Table
    ) -> tuple[list[Place], list[FixupOutcome]]:
        """The places of references in a file, at any depth; and the parts that could not be opened.

        Args:
            data: the whole file.
            name: its own, without directories.
            table: the references that are looked for.
        """
        look = Look(self.recogniser, _TableFinder(table), self.limits)
        look.file(data, name)
        return look.places, look.outcomes

    def rewrite(
        self,
        data: bytes,
        path: bytes,
        table: Table,
        siblings: Siblings = _ALONE,
        fragments: FragmentFinder | None = None,
        names: NameSearch | None = None,
        inner: list[InnerFile] | None = None,
    ) -> tuple[bytes, list[FixupOutcome]]:
        """A file with its references rewritten, at any depth; the same object if nothing changes.

        Args:
            data: the whole file, as it was.
            path: its old path, from the top of its tree.
            table: the references that are rewritten.
            siblings: the other files of that tree, some of which are summed up in others.
            fragments: finds fragments of the references that the table rewrites; None: references
                that compilers have cut up stay.
            names: finds names in containers that follow a hash part in another spelling; None: such
                names stay.
            inner: takes the changed files in containers; None: no caller asks for them.

        Returns:
            The new bytes, and the fix-ups' outcomes; no outcome if no fix-up recognises the file.
        """
        search = FileSearch(
            self._recogniser,
            self.switched_on,
            table,
            self.limits,
            fragments=fragments,
            names=names,
            replaced=self.replaced,
            inner=inner,
        )
        new = FileDescent(search, siblings, path=path).file(data)
        return new, search.outcomes


def _marks(fixups: Iterable[Fixup]) -> Marks:
    by_magic = [fixup for fixup in fixups if fixup.magics]
    by_name = [fixup for fixup in fixups if not fixup.magics]
    return Marks(
        magics=tuple(dict.fromkeys(m for fixup in by_magic for m in fixup.magics)),
        suffixes=tuple(dict.fromkeys(s for fixup in by_name for s in fixup.suffixes)),
        names=tuple(dict.fromkeys(n for fixup in by_name for n in fixup.names)),
    )


class Switches(NamedTuple):
    """The settings of a registry for a plan: `Registry.switches` and `Registry.switched`."""

    named: tuple[str, ...]
    switched: tuple[str, ...]


def registered_switches(switches: tuple[str, ...]) -> Switches:
    """The switches of the registry that `registered` makes, with the same errors.

    Args:
        switches: as for `registered`. Without any no fix-up is loaded, if there are no users' own.
    """
    if not switches and not users_own():
        return Switches((), ())
    registry = registered(switches)
    return Switches(registry.switches, registry.switched)


@cache
def registered(switches: tuple[str, ...] = (), limits: Limits = NO_BOMBS) -> Registry:
    """The registry: users' own fix-ups by name, then the built-in ones in a fixed order.

    Args:
        switches: names of fix-ups to be switched on, or with `no-` before them off.
        limits: how far files are opened.

    Raises:
        UsageError: there is no fix-up of a name, or two, or a package's entry point gives no
            fix-up.
    """
    own = users_own()
    fixups = (*own, *_built_in())
    known = [fixup.name for fixup in fixups]
    for name in known:
        if known.count(name) > 1:
            raise UsageError(
                f"there are two fix-ups of the name '{name}': uninstall one", fixup=name
            )
    on = {fixup.name for fixup in fixups if fixup.by_default}
    for switch in switches:
        off = switch not in known and switch.startswith("no-")
        name = switch.removeprefix("no-") if off else switch
        if name not in known:
            raise UsageError(
                f"there is no fix-up '{name}': it is one of {', '.join(sorted(known))}",
                fixup=name,
            )
        (on.discard if off else on.add)(name)
    return Registry(fixups, frozenset(on), limits, frozenset(fixup.name for fixup in own))


def _built_in() -> tuple[Fixup, ...]:
    fixups: list[Fixup] = []
    for place in BUILT_IN:
        module, _, name = place.partition(":")
        found = getattr(import_module(f"{__name__}.{module}"), name)
        fixups += found if isinstance(found, tuple) else [found()]
    return tuple(fixups)

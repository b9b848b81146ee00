"""The programs that do not fit after a graft, and the messages about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from graft.check.abi.views import ObjectEntry
from graft.errors import AbiError
from graft.formats.file_name import printable
from graft.formats.store_path import StoreDir, StorePath
from graft.plan import PlanWarning
from graft.quantities import binary_size

_MOST_SYMBOLS: Final = 3  # in one sentence

_SENTENCES: Final = {
    "library-missing": "needs '{name}', which it got from {was} and which is nowhere now",
    "other-machine": "needs '{name}', and {now} is for another machine or no library at all",
    "interpreter-missing": "is started by {was}, of which there is no counterpart now",
    "other-soname": "gets {now} in the place of {was}, which calls itself otherwise",
    "version-missing": "gets {now} in the place of {was}, which lacks {symbols}",
    "symbol-missing": "gets {now} in the place of {was}, which lacks {symbols}",
    "thread-local-size": "gets {now} in the place of {was}, where the size of a thread-local "
    "variable is another: {symbols}",
    "copy-size": "has a copy of {symbols}, whose size in {now} is not the same as in {was}",
    "private-version": "uses the private {symbols} of {now}, which is not of its own build",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A file that will not work as before with the libraries it will load.

    Attributes:
        reason: a stable word; docs/reference/warnings.md lists them.
        program: the file.
        loaded_by: the program that loads it with others, if it is not the file itself.
        name: the name that it asks for: a library, an interpreter.
        was: the file that it gets now.
        library: the file that it will get; None if it will get no file.
        symbols: which do not fit, with their versions.
    """

    reason: str
    program: ObjectEntry
    loaded_by: ObjectEntry | None
    name: bytes
    was: ObjectEntry | None
    library: ObjectEntry | None
    symbols: tuple[bytes, ...] = ()

    def message(self, full: Callable[[StorePath], str]) -> str:
        """One lower-case sentence."""
        shown = [f"'{printable(symbol)}'" for symbol in self.symbols[:_MOST_SYMBOLS]]
        if len(self.symbols) > _MOST_SYMBOLS:
            shown.append(f"{len(self.symbols) - _MOST_SYMBOLS} more")
        sentence = _SENTENCES[self.reason].format(
            name=printable(self.name),
            was=_quoted(self.was, full),
            now=_quoted(self.library, full),
            symbols=", ".join(shown),
        )
        by = f", where {_quoted(self.loaded_by, full)} loads it," if self.loaded_by else ""
        return f"{_quoted(self.program, full)}{by} {sentence}"

    def as_json(self, full: Callable[[StorePath], str]) -> dict[str, object]:
        """One of the `breaks` of the error object."""
        return {
            "reason": self.reason,
            "program": shown_place(self.program, full),
            "library": shown_place(self.library or self.was, full),
            "symbols": [printable(symbol) for symbol in self.symbols],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AbiCheck:
    """The result of the check of a plan.

    Attributes:
        store_dir: the logical store directory.
        breaks: the programs that will not work, in their order.
        unchecked: files that could not be read as their form demands, and the reasons.
        libraries: loaded files and their replacements, where these are others.
        not_downloaded: bytes of NARs that were left where they are, so that nothing was checked.
    """

    store_dir: StoreDir
    breaks: tuple[Break, ...] = ()
    unchecked: tuple[tuple[ObjectEntry, str], ...] = ()
    libraries: tuple[tuple[ObjectEntry, ObjectEntry], ...] = ()
    not_downloaded: int = 0

    @property
    def warnings(self) -> tuple[PlanWarning, ...]:
        """Breaks and unchecked files as warnings, for a user who goes on in spite of them."""
        full = self.store_dir.path
        if self.not_downloaded:
            return (
                PlanWarning(
                    kind="abi-not-checked",
                    path=None,
                    message="programs were not checked against the libraries they would load, "
                    f"for that takes downloading NARs of {binary_size(self.not_downloaded)}: "
                    "graft apply checks them, and graft plan with --deep or --abi-report",
                ),
            )
        return (
            *(
                PlanWarning(kind="abi", path=found.program.path, message=found.message(full))
                for found in self.breaks
            ),
            *(
                PlanWarning(
                    kind="abi-not-checked",
                    path=place.path,
                    message=f"{_quoted(place, full)} was not checked against its libraries: "
                    f"{reason}",
                )
                for place, reason in self.unchecked
            ),
        )

    @property
    def missing_libraries(self) -> tuple[tuple[ObjectEntry, bytes], ...]:
        """The programs that will not get a library they got, and its name; originals' places."""
        return tuple(
            sorted(
                {
                    (found.loaded_by or found.program, found.name)
                    for found in self.breaks
                    if found.reason in {"library-missing", "other-machine"}
                }
            )
        )

    def refuse_breaks(self) -> None:
        """Raises AbiError if there are any."""
        if not self.breaks:
            return
        full = self.store_dir.path
        first = self.breaks[0]
        more = f" (and {len(self.breaks) - 1} more breaks)" if len(self.breaks) > 1 else ""
        shown = [found.as_json(full) for found in self.breaks]
        raise AbiError(
            f"{first.message(full)}{more}: give a NEW that fits, or --allow-abi-breaks",
            program=shown[0]["program"],
            library=shown[0]["library"],
            symbol=printable(first.symbols[0]) if first.symbols else None,
            breaks=shown,
        )


def in_order(breaks: Iterable[Break]) -> tuple[Break, ...]:
    """Breaks in the order of the programs."""
    return tuple(sorted(breaks, key=lambda one: (one.program, one.reason, one.name, one.symbols)))


def shown_place(place: ObjectEntry | None, full: Callable[[StorePath], str]) -> str | None:
    """The full path of a file."""
    if place is None:
        return None
    path = full(place.path)
    return f"{path}/{printable(place.name)}" if place.name else path


def _quoted(place: ObjectEntry | None, full: Callable[[StorePath], str]) -> str:
    return f"'{shown_place(place, full)}'" if place is not None else "nothing"

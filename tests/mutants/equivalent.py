"""The faults that change nothing a test could see, each with the reason; they count as alive.

A fault is named by its file, the line's text and the fault's own: numbers of lines change. One that
is killed, or is not in the code any more, has no place here: `python -m tests.mutants` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from tests.mutants import ROOT
from tests.mutants.faults import Mutant, mutants

_TYPES = "only the type checker imports that"
_BUFFER = "the size of a buffer: as many bytes go through it in other pieces"
_TUNING = "a figure of tuning: the same is done in other steps"


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A fault that changes nothing.

    Attributes:
        file: below `graft/`.
        line: the text of the line, or its beginning.
        text: how the fault reads, or its beginning.
        reason: why nothing changes.
    """

    file: str
    line: str
    text: str
    reason: str

    def is_of(self, mutant: Mutant) -> bool:
        """Whether it is this fault."""
        return (
            mutant.file == f"graft/{self.file}"
            and mutant.text.startswith(self.text)
            and _lines(mutant.file)[mutant.line - 1].strip().startswith(self.line)
        )


EQUIVALENT = (
    Equivalent("store/caches/server.py", "if TYPE_CHECKING:", "if TYPE_CHECKING", _TYPES),
    Equivalent("store/kinds.py", "if TYPE_CHECKING:", "if TYPE_CHECKING", _TYPES),
    Equivalent("store/opening.py", "if TYPE_CHECKING:", "if TYPE_CHECKING", _TYPES),
    Equivalent(
        "store/caches/server.py", "buffer = memoryview(bytearray(65_536))", "65536", _BUFFER
    ),
    Equivalent("store/caches/server.py", "data = self._response.read(min(left", "65536", _BUFFER),
    Equivalent(
        "store/caches/server.py",
        "redirect=0,",
        "0 becomes 1",
        "each request says `redirect=False`: urllib3 follows no redirection itself",
    ),
    Equivalent(
        "store/caches/server.py",
        "decode_content=False,",
        "False becomes True",
        "an answer in any encoding is refused before its text is read",
    ),
    Equivalent("store/caches/bucket.py", "_BLOCK: Final =", "", _TUNING),
    Equivalent("store/caches/bucket.py", "_PART: Final =", "", _TUNING),
    Equivalent("store/caches/bucket.py", "_MOST_PARTS: Final =", "", _TUNING),
    Equivalent("store/caches/bucket.py", "_PARTS_AT_ONCE: Final =", "", _TUNING),
    Equivalent(
        "store/caches/bucket.py",
        "raise AssertionError",
        "raise AssertionError: left out",
        "the last attempt returns or raises: the type checker wants the line",
    ),
    Equivalent(
        "store/api.py",
        "raise NotImplementedError",
        "raise NotImplementedError: left out",
        "every store has a `close` of its own",
    ),
    Equivalent("store/caches/bucket_files.py", "_HELD: Final =", "", _TUNING),
    Equivalent("store/local_store/database.py", "_MOST_PARAMETERS = 900", "900", _TUNING),
    Equivalent("store/daemon.py", "_MOST_PATHS: Final = 4000", "4000", _TUNING),
    Equivalent(
        "store/caches/directory.py",
        "if native is None:",
        "",
        "`sync` writes more file systems than `syncfs`, and this one too",
    ),
    Equivalent(
        "store/trust.py",
        "_LONGEST: Final = 4096",
        "4096",
        "a text of as many bytes is no key either",
    ),
    Equivalent(
        "store/trust.py",
        "descriptor = os.open(file",
        "384",
        "`fchmod` sets the mode before anything is written",
    ),
    Equivalent(
        "store/local_store/temporary_roots.py",
        "if time.monotonic() > given_up",
        "time.monotonic() > given_up: GtE",
        "two readings of the clock are not equal",
    ),
    Equivalent(
        "store/local_store/temporary_roots.py",
        "answer = self._connection.recv(1)",
        "1 becomes 2",
        "a collector answers with one byte",
    ),
    Equivalent(
        "store/local_store/temporary_roots.py",
        "fcntl.flock(self._collector_lock, fcntl.LOCK_SH | (0",
        "0 becomes 1",
        "`LOCK_SH` is 1 itself",
    ),
    Equivalent(
        "machine/affected.py",
        "if len(self._asked) <= 1:",
        "len(self._asked) <= 1: Lt",
        "one path is a case of several: the branch saves time only",
    ),
    Equivalent(
        "machine/affected.py",
        "distance = 0",
        "0 becomes 1",
        "distances are only compared with each other",
    ),
    Equivalent(
        "machine/affected.py",
        "len(hit.chain) if not kind else 0,",
        "0 becomes 1",
        "only hits of one kind are compared by it",
    ),
    Equivalent(
        "machine/affected.py",
        "pid = root.process.pid if root.process else 0",
        "0 becomes 1",
        "only hits of one kind are compared by it",
    ),
)


def reason_of(mutant: Mutant) -> str | None:
    """The reason why a fault changes nothing; None if it is not listed."""
    return next((one.reason for one in EQUIVALENT if one.is_of(mutant)), None)


def stale(rooms: Iterable[str], killed: Iterable[Mutant]) -> list[Equivalent]:
    """The listed faults of some rooms that are not in the code any more, or were killed."""
    rooms, dead = list(rooms), list(killed)
    every = mutants(rooms)
    return [
        one
        for one in EQUIVALENT
        if one.file.partition("/")[0] in rooms
        and (not any(map(one.is_of, every)) or any(map(one.is_of, dead)))
    ]


@cache
def _lines(file: str) -> list[str]:
    return (ROOT / file).read_text(encoding="utf-8").splitlines()

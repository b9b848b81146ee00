"""apt's package index: which versions of which package there are, and what they depend on."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .apt import environment

VersionKey = tuple[int, tuple[object, ...], tuple[object, ...]]


class PackageIndexError(RuntimeError):
    """apt has no package index, or the index lacks what was asked for."""


def version_key(version: str) -> VersionKey:
    """A sort key with the order of Debian versions: epoch, upstream part, revision."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, ""
    return int(epoch), _part_key(upstream), _part_key(revision)


def _part_key(text: str) -> tuple[object, ...]:
    # Runs of non-digits and of digits take turns, beginning with non-digits; a run may be empty.
    pieces = re.findall(r"(\D*)(\d*)", text)
    key: list[object] = []
    for letters, digits in pieces:
        key.append((*(_character_rank(c) for c in letters), 0))
        key.append(int(digits or 0))
    return tuple(key)


def _character_rank(character: str) -> int:
    """A tilde sorts before the end of the text (0), letters before everything else."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


@dataclass(frozen=True, slots=True)
class Package:
    """One version of one binary package; `depends` holds the alternatives of each dependency."""

    name: str
    version: str
    architecture: str
    source: str
    depends: tuple[tuple[str, ...], ...]
    sha256: str
    size: int
    installed_kib: int

    @classmethod
    def from_paragraph(cls, paragraph: str) -> Package:
        """The package that one paragraph of a Packages file describes."""
        fields: dict[str, str] = {}
        for line in paragraph.splitlines():
            if line[:1] not in ("", " ", "\t"):
                key, _, value = line.partition(":")
                fields[key] = value.strip()
        # Pre-Depends first: where two packages hold one file, the earlier dependency wins.
        relations = f"{fields.get('Pre-Depends', '')},{fields.get('Depends', '')}"
        return cls(
            name=fields["Package"],
            version=fields["Version"],
            architecture=fields.get("Architecture", ""),
            source=fields.get("Source", fields["Package"]).split()[0],
            depends=parse_relations(relations),
            sha256=fields.get("SHA256", ""),
            size=int(fields.get("Size", 0)),
            installed_kib=int(fields.get("Installed-Size", 0)),
        )


def parse_relations(text: str) -> tuple[tuple[str, ...], ...]:
    """`a (>= 1) | b:any, c` as (("a", "b"), ("c",)): names only, in order."""
    groups = (group.strip() for group in text.split(","))
    return tuple(
        tuple(re.split(r"[ (:\[]", name.strip(), maxsplit=1)[0] for name in group.split("|"))
        for group in groups
        if group
    )


class Index:
    """Every version of every package that apt could install, read lazily."""

    def __init__(self, texts: Iterable[str]) -> None:
        # Tens of thousands of paragraphs, of which a hundred are looked at: keep them as text.
        self._paragraphs: dict[str, list[str]] = {}
        self._providers: dict[str, list[str]] = {}
        self._parsed: dict[str, dict[str, Package]] = {}
        for text in texts:
            for paragraph in text.split("\n\n"):
                self._add(paragraph.lstrip("\n"))

    def _add(self, paragraph: str) -> None:
        if not paragraph.startswith("Package: "):
            return
        name = paragraph[9:].partition("\n")[0].strip()
        self._paragraphs.setdefault(name, []).append(paragraph)
        start = paragraph.find("\nProvides: ")
        if start >= 0:
            line = paragraph[start + 11 :].partition("\n")[0]
            for alternatives in parse_relations(line):
                self._providers.setdefault(alternatives[0], []).append(name)

    def __contains__(self, name: object) -> bool:
        return name in self._paragraphs

    def __iter__(self) -> Iterator[str]:
        return iter(self._paragraphs)

    def providers(self, virtual: str) -> list[str]:
        """The packages that provide a virtual package, in the index's order."""
        return self._providers.get(virtual, [])

    def versions(self, name: str) -> dict[str, Package]:
        """The versions of a package, oldest first; empty for an unknown package."""
        known = self._parsed.get(name)
        if known is None:
            found: dict[str, Package] = {}
            for paragraph in self._paragraphs.get(name, []):
                package = Package.from_paragraph(paragraph)
                found.setdefault(package.version, package)
            known = dict(sorted(found.items(), key=lambda item: version_key(item[0])))
            self._parsed[name] = known
        return known

    def candidate(self, name: str, pins: Mapping[str, str]) -> Package | None:
        """The pinned version of a package (pins: source -> version), else the newest."""
        versions = self.versions(name)
        for package in versions.values():
            if pins.get(package.source) == package.version:
                return package
        return list(versions.values())[-1] if versions else None


def index_files() -> list[Path]:
    """The Packages files apt has; PackageIndexError says what to do when there are none."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: Packages"],
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    files = [path for name in listed if (path := _on_disk(Path(name))) is not None]
    if not files:
        raise PackageIndexError("apt has no package index: run `apt-get update` first")
    return files


def _on_disk(path: Path) -> Path | None:
    # apt prints the name with the compression it was fetched in, and may keep it uncompressed
    return next((p for p in (path, path.with_suffix("")) if p.exists()), None)


def load_index(files: Iterable[Path]) -> Index:
    """The index that these Packages files hold, compressed in whatever way apt knows."""
    command = ["/usr/lib/apt/apt-helper", "cat-file"]
    texts = [
        subprocess.run([*command, str(path)], check=True, capture_output=True).stdout
        for path in files
    ]
    return Index(text.decode("utf-8", "replace") for text in texts)


def index_stamp() -> str:
    """A text that changes whenever `apt-get update` changes something; cheap to ask for."""
    shell = ["apt-config", "shell", "lists", "Dir::State::lists/d"]
    answer = subprocess.run(
        shell, env=environment(), check=True, capture_output=True, text=True
    ).stdout
    directory = Path(answer.partition("'")[2].rpartition("'")[0])
    stamps = [
        (p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in directory.glob("*Packages*")
    ]
    return repr(sorted(stamps))

"""Which packages a set needs, in which versions: Debian's dependencies followed to the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .index import Index, Package, PackageIndexError
from .sets import Recipe


@dataclass(frozen=True)
class Resolution:
    """The chosen packages, in the order they were met, and each one's dependencies."""

    wanted: tuple[str, ...]
    packages: Mapping[str, Package]
    depends: Mapping[str, tuple[str, ...]]

    @property
    def installed_mib(self) -> int:
        """The size of everything unpacked, as Debian states it."""
        return sum(p.installed_kib for p in self.packages.values()) // 1024


def resolve(
    index: Index, wanted: Sequence[str], pins: Mapping[str, str], recipe: Recipe
) -> Resolution:
    """Every package that `wanted` needs; a wanted package apt lacks is PackageIndexError."""
    unknown = [name for name in (*wanted, *recipe.always) if name not in index]
    if unknown:
        raise PackageIndexError(
            f"apt does not know {', '.join(unknown)}: run `apt-get update`, or is this not Debian?"
        )
    packages: dict[str, Package] = {}
    depends: dict[str, tuple[str, ...]] = {}
    todo = [*wanted, *recipe.always]
    while todo:
        name = todo.pop()
        if name in packages:
            continue
        package = index.candidate(name, pins)
        assert package is not None  # only names in the index get here
        packages[name] = package
        depends[name] = _dependencies(index, package, recipe)
        todo += depends[name]
    return Resolution(tuple(wanted), packages, depends)


def _dependencies(index: Index, package: Package, recipe: Recipe) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for alternatives in package.depends:
        choice = _choose(index, alternatives, recipe)
        if choice not in (None, package.name) and (package.name, choice) not in recipe.drop:
            found.setdefault(str(choice))
    for name in recipe.add.get(package.name, ()):
        found.setdefault(name)
    return tuple(found)


def _choose(index: Index, alternatives: Sequence[str], recipe: Recipe) -> str | None:
    """The alternative to install: the first real one, else a provider; None if it counts as met."""
    if any(name in recipe.skip for name in alternatives):
        return None
    for name in alternatives:
        if name in index:
            return name
    for name in alternatives:
        for provider in index.providers(name):
            if provider in index and provider not in recipe.skip:
                return provider
    return None

"""Expressions, instantiated by the Nix of this machine in a store of this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graft.errors import EvaluationError
from graft.formats.derivations.package_listing import parse_package_listing
from graft.formats.store_path import StoreDir, StorePath
from graft.store.location import Location

_AT_ONCE: Final = 1000  # attributes of one command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Nix:
    """Nix's programs, and which store they work on.

    Attributes:
        environment: all of theirs.
        options: the options of each of them.
    """

    environment: Mapping[str, str]
    options: tuple[str, ...] = ()

    @classmethod
    def of_store(cls, location: Location, environment: Mapping[str, str]) -> Nix:
        """The programs of Nix for the store at a location."""
        if location.real_store_dir == location.store_dir:
            own = {"NIX_STORE_DIR": str(location.store_dir), "NIX_STATE_DIR": location.state_dir}
            return cls(environment={**environment, **own})
        root = location.real_store_dir.removesuffix(location.store_dir)
        return cls(environment=environment, options=("--store", root))

    def instantiate(
        self, file: str, attributes: Sequence[str], store_dir: StoreDir
    ) -> list[tuple[str | None, StorePath]]:
        """Makes the derivations of an expression.

        Args:
            attributes: the wanted attributes; without any, all that `nix-env` finds.

        Raises:
            EvaluationError: Nix is missing, or cannot do it; or an attribute is no package.
        """
        wanted = list(attributes)
        if not wanted:
            wanted, itself = self._attributes(file, store_dir)
            if itself:
                printed = self._run(["nix-instantiate", *self.options, file], file).split()
                return [(None, store_dir.parse(line.partition("!")[0])) for line in printed]
        made: list[tuple[str | None, StorePath]] = []
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            chosen = [part for attribute in some for part in ("--attr", attribute)]
            printed = self._run(["nix-instantiate", *self.options, file, *chosen], file).split()
            if len(printed) != len(some):
                raise EvaluationError(
                    f"'{file}': {len(some)} attributes make {len(printed)} derivations: name "
                    "attributes that are one package each",
                    file=file,
                )
            paths = [store_dir.parse(line.partition("!")[0]) for line in printed]
            made += zip(some, paths, strict=True)
        return made

    def _attributes(self, file: str, store_dir: StoreDir) -> tuple[list[str], bool]:
        """The attributes of an expression that are packages, as `nix-env` says without
        instantiation.

        Returns:
            And whether it is no set, but one package, which `nix-env` calls by its name.
        """
        command = ["nix-env", *self.options, "--file", file]
        command += ["--query", "--available", "--attr-path", "--drv-path"]
        listed = parse_package_listing(self._run(command, file), store_dir, file)
        found = [attribute for attribute, _ in listed if attribute is not None]
        return found, found == [path.derivation_name for _, path in listed] and len(found) == 1

    def _run(self, command: Sequence[str], file: str) -> str:
        try:
            done = subprocess.run(
                command, env=dict(self.environment), capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            raise EvaluationError(
                f"'{file}' is an expression, and '{command[0]}' is not installed: instantiate it "
                "where Nix is",
                file=file,
            ) from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise EvaluationError(
                f"'{command[0]}' cannot evaluate '{file}': {said[-1].strip()}", file=file
            )
        return done.stdout

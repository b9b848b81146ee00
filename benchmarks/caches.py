"""Binary caches made of a real set: what is to be grafted, and where the result goes."""

from __future__ import annotations

import json

from graft.kernel.tree import remove_tree
from tests.debpkgs import Built
from tests.debpkgs.store import PrivateStore

from .bench import ROOT, Bench, fresh, graft_command, quietly
from .replica import Replica


class Caches:
    """A cache made by Nix, with a root and every NEW, and another for the result.

    Attributes:
        source, target: their directories, in memory.
        root: the full path of what is grafted.
        pairs: OLD to NEW, by their base names.
        paths: how many there are in the root's closure.
    """

    def __init__(self, bench: Bench, built: Built) -> None:
        self._store = bench.memory / "nix"
        self.source, self.target = bench.memory / "source", bench.memory / "target"
        replica = Replica(built, self._store)
        self.root, self.pairs = replica.tree(replica.root), dict(replica.pairs)
        self._replacements = [
            f"{replica.tree(old)}={replica.tree(new)}" for old, new in self.pairs.items()
        ]
        self.paths = len(replica.closure)
        environment = PrivateStore.under(self._store).env
        environment |= {"NIX_STATE_DIR": replica.location.state_dir}
        news = [replica.tree(new) for new in self.pairs.values()]
        url = f"file://{self.source}?compression=zstd"
        quietly(["nix", "copy", "--to", url, self.root, *news], environment=environment)
        remove_tree(self._store)

    def command(self, *options: str) -> list[str]:
        """`graft apply` from the one into the other."""
        caches = ("--store", f"file://{self.source}", "-q", "apply", f"--to=file://{self.target}")
        replacements = [f"--replace={pair}" for pair in self._replacements]
        return graft_command(*caches, "--no-check-sigs", self.root, *replacements, *options)

    def batch(self, *options: str, prove: str = "closure") -> list[str]:
        """`graft batch` with one job, which is the same."""
        values = {"store": f"file://{self.source}", "to": f"file://{self.target}", "prove": prove}
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        lines += ["check-sigs = false", "[[job]]", 'name = "the same"']
        lines += [f"roots = {json.dumps([self.root])}", "[job.replacements]"]
        lines += [
            " = ".join(map(json.dumps, replacement.split("=")))
            for replacement in self._replacements
        ]
        jobs = self.source / f"{prove}.toml"
        jobs.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        return graft_command("-q", "batch", jobs, *options)

    def pipeline(self, form: str) -> None:
        """The same with Nix's tools, through a store that is empty before."""
        caches = (f"file://{self.source}", f"file://{self.target}")
        script = str(ROOT / "benchmarks" / "pipeline.sh")
        command = ["bash", script, form, *caches, self.root, *self._replacements]
        quietly(command, environment=PrivateStore.under(self._store).env)

    def clean(self) -> None:
        """Removes what was made."""
        remove_tree(self._store)
        fresh(self.target)

    def check(self) -> None:
        """Makes sure that the whole result is in the target, and nothing of OLD."""
        infos = [file.read_text() for file in self.target.glob("*.narinfo")]
        if len(infos) != self.paths:
            raise RuntimeError(f"{len(infos)} paths were made instead of {self.paths}")
        for info in infos:
            if any(old in info for old in self.pairs):
                raise RuntimeError(f"something still refers to an OLD:\n{info}")

    def remove(self) -> None:
        """Removes everything."""
        for directory in (self._store, self.source, self.target):
            remove_tree(directory)

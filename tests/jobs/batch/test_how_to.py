"""What the how-to pages on batches show: files that can be read, and commands of the real Nix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from graft.cli import run
from graft.jobs.batch.jobs_file import JobsFile
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.jobs.batch.fleet import Fleet
from tests.real_nix import RealNix
from tests.serving import serving

_PAGES = Path(__file__).parents[3] / "docs" / "how-to"
_IN_CI = (_PAGES / "batch-in-ci.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["batch-in-ci.md", "a-fleet.md"])
def test_the_jobs_files_shown_are_jobs_files(page: str) -> None:
    old, new = f"{'0' * 32}-a", f"{'1' * 32}-a"
    [text] = blocks((_PAGES / page).read_text(), "toml")
    key = "k-1:" + "A" * 43 + "="
    environment = {"CACHE_KEY": key, "SIGNING_KEY_FILE": "/key"}
    read = {"replacements.txt": f"{old} {new}", "roots/web.txt": old, "roots/database.txt": old}
    jobs = JobsFile.parse(text, "jobs.toml", environment, read=read.__getitem__).jobs
    assert [job.name for job in jobs] == ["web", "database"]


def test_the_pipelines_shown_run_the_command_with_what_the_jobs_file_wants() -> None:
    yaml = pytest.importorskip("yaml")
    workflow, pipeline = map(yaml.safe_load, blocks(_IN_CI, "yaml"))
    [jobs] = blocks(_IN_CI, "toml")
    wanted = set(re.findall(r"\$\{(\w+)\}", jobs))
    steps = workflow["jobs"]["graft"]["steps"]
    [step] = [step for step in steps if "graft batch" in step.get("run", "")]
    assert wanted <= step["env"].keys()
    [gitlab] = [line for line in pipeline["graft"]["script"] if line.startswith("graft batch")]
    for line in (gitlab, step["run"].splitlines()[-1]):
        report = re.search(r"--junit (\S+)", line)
        assert report is not None
        kept: Any = [pipeline["graft"]["artifacts"], steps[-1]]
        assert report[1] in str(kept)
    assert all(f"`{name}`" in _IN_CI for name in wanted)


@pytest.mark.nix
@pytest.mark.slow
def test_the_real_nix_substitutes_what_a_batch_has_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet.build(tmp_path, head='sign-keys = ["patched.sec"]')
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    secret = str(tmp_path / "patched.sec")
    location = Location.at_root(str(tmp_path / "machine"))
    LocalStore.create(location)
    nix = RealNix(location, tmp_path)
    assert run(["key", "generate", "patched-1", "-o", secret]) == 0
    public = capsys.readouterr().out.strip()
    assert run(["batch", fleet.jobs_file, "-q"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    with serving(tmp_path / "out") as server:
        options = ["--option", "extra-substituters", server.url]
        trusted = ["--option", "extra-trusted-public-keys", public]
        for _, _, _, _, root in rows:
            nix.run("nix-store", "-r", root, *options, status=1)  # by nobody it trusts
            nix.run("nix-store", "-r", root, *options, *trusted)
    profile = f"{location.state_dir}/profiles/system"
    root = rows[0][-1]
    nix.run("nix-env", "-p", profile, "--set", root)
    assert nix.run("nix-store", "-q", "--resolve", profile).strip() == root
    nix.run("nix", "store", "verify", "--recursive", "--trusted-public-keys", public, root)
    nix.check()
    closure = nix.run("nix-store", "-qR", root)
    assert fleet.it.new in closure
    assert fleet.it.old not in closure

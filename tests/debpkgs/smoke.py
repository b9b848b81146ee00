"""Runs the programs under a system root, from the store and on the store's libraries."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Check:
    """One command; `needs` is a program below the root without which there is nothing to run."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    needs: str | None = None


@dataclass(frozen=True)
class Result:
    """How one check ended; `line` is the first line it printed, or on failure the last ones."""

    name: str
    ok: bool
    line: str


PYTHON_PROBE = (
    "import ssl, sys, zlib, sqlite3, hashlib, lzma, ctypes, json;"
    " print(ssl.OPENSSL_VERSION, sys.prefix, zlib.ZLIB_RUNTIME_VERSION, sqlite3.sqlite_version)"
)
PERL_PROBE = r'use POSIX; use Digest::SHA; use File::Temp; print "$] $^X\n"'


def run(root: str | Path) -> list[Result]:
    """Every check that applies to a root, then which libraries come from outside the store."""
    top = os.path.realpath(root)
    with tempfile.TemporaryDirectory() as scratch:
        results = [_run(check, scratch) for check in checks(top, Path(scratch)) if _applies(check)]
    return [*results, *_foreign_libraries(top)]


def render(results: Sequence[Result]) -> str:
    """The results as text, one to a line."""
    return "\n".join(f"{'ok  ' if r.ok else 'FAIL'} {r.name}: {r.line}" for r in results)


def checks(root: str, scratch: Path) -> Iterator[Check]:
    """The checks of a root, in the order they build on each other."""
    programs = f"{root}/sw/bin"

    def plain(name: str, *arguments: str, **env: str) -> Check:
        return Check(name, [f"{programs}/{name}", *arguments], env, needs=f"{programs}/{name}")

    def shell(name: str, script: str, **env: str) -> Check:
        return Check(name, [f"{programs}/bash", "-c", script], env)

    yield plain("bash", "-c", "echo $BASH_VERSION $BASH")
    yield Check("coreutils", [f"{programs}/ls", "--version"])
    yield plain("curl", "--version")
    yield plain("openssl", "version", "-a")
    key, certificate = scratch / "key", scratch / "certificate"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "2"]
    yield Check(
        "openssl makes a certificate",
        [f"{programs}/openssl", *request, "-keyout", str(key), "-out", str(certificate)],
    )
    (scratch / "text").write_text("text\n")
    legacy = ["md4", "-provider", "legacy", "-provider", "default", f"{scratch}/text"]
    yield Check("openssl loads a provider", [f"{programs}/openssl", *legacy])
    yield plain("git", "--version")
    repository = scratch / "repository"
    author = "-c user.name=a -c user.email=a@b"
    yield shell(
        "git commits",
        f"{programs}/git init -q {repository} && cd {repository} && echo x > a &&"
        f" {programs}/git add a && {programs}/git {author} commit -qm x &&"
        f" {programs}/git log --oneline",
    )
    yield shell(
        "git's shell commands",
        f"cd {repository} && {programs}/git submodule status && {programs}/git rebase HEAD",
        PATH=programs,
    )
    # nothing listens there: a sensible refusal shows that git's helper and libcurl were loaded
    yield shell(
        "git over https",
        f"{programs}/git ls-remote https://127.0.0.1:1/ 2>&1 |"
        f" {programs}/grep -E 'Failed to connect|Could not connect|unable to access'",
    )
    yield Check("python", [f"{programs}/python3", "-c", PYTHON_PROBE])
    yield Check(
        "python's time zones",
        [f"{programs}/python3", "-c", "import zoneinfo; print(zoneinfo.ZoneInfo('Europe/Paris'))"],
        {"PYTHONTZPATH": f"{root}/etc/zoneinfo"},
    )
    yield plain("perl", "-e", PERL_PROBE)
    yield plain("jq", "-n", "1+1")
    yield plain("sqlite3", ":memory:", "select sqlite_version();")
    yield plain("wget", "--version")
    yield plain("rsync", "--version")
    yield plain("gawk", 'BEGIN { print PROCINFO["version"] }')
    yield plain("find", root, "-maxdepth", "1")
    yield plain("less", "--version")
    yield Check("activate", [f"{root}/activate", str(scratch / "activated")])
    yield plain("tool")
    yield from _pivots(programs, scratch)
    yield from _large(programs)


def _pivots(programs: str, scratch: Path) -> Iterator[Check]:
    """The pivot-aware programs, given a directory with what they look for."""
    for name, wanted in (("pivot-tz", "tzdata"), ("pivot-ca", "cacert")):
        program = Path(os.path.realpath(f"{programs}/{name}"))
        place = scratch / "pivots" / program.parent.parent.name
        place.mkdir(parents=True)
        (place / wanted).touch()
        pivots = {"NIXPKGS_PIVOT_DIRS": f"/nonexistent:{scratch}/pivots"}
        yield Check(name, [f"{programs}/{name}"], pivots, needs=f"{programs}/{name}")


def _large(programs: str) -> Iterator[Check]:
    """What only the large set has."""
    names = "vim.basic gimp-2.10 gcc g++ psql java rustc firefox-esr inkscape soffice emacs-nox"
    commands = {name: ["--version"] for name in f"{names} node ruby localc".split()}
    commands |= {"ffmpeg": ["-version"], "php": ["-v"], "go": ["version"]}
    for name, arguments in commands.items():
        program = f"{programs}/{name}"
        # Go finds its tree beside the real program only if it is told so
        go_root = os.path.dirname(os.path.dirname(os.path.realpath(program)))
        env = {"GOROOT": go_root} if name == "go" else {}
        yield Check(name, [program, *arguments], env, needs=program)
    server = f"{os.path.dirname(programs)}/sbin/nginx"
    yield Check("nginx", [server, "-v"], needs=server)


def _applies(check: Check) -> bool:
    return check.needs is None or os.path.exists(check.needs)


def _environment(home: str) -> dict[str, str]:
    """As good as nothing, so that what runs is found through the store alone."""
    # Without the last variable root's Python would rewrite byte code inside the store.
    return {
        "HOME": home,
        "PATH": "/nonexistent",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _run(check: Check, scratch: str) -> Result:
    environment = _environment(scratch) | dict(check.env)
    try:
        run = subprocess.run(
            check.command,
            check=False,
            env=environment,
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Result(check.name, ok=False, line=str(error))
    lines = run.stdout.decode("utf-8", "replace").splitlines() or [""]
    if run.returncode != 0:
        return Result(
            check.name, ok=False, line=f"status {run.returncode}: {' / '.join(lines[-2:])}"
        )
    return Result(check.name, ok=True, line=lines[0])


def _foreign_libraries(root: str) -> Iterator[Result]:
    """Asks the loader what it opens for a few programs: nothing outside the store."""
    store = os.path.dirname(root)
    for name in ("curl", "python3", "git", "jq"):
        program = os.path.realpath(f"{root}/sw/bin/{name}")
        directory, base = os.path.split(program)
        wrapped = f"{directory}/.{base}-wrapped"
        listed = subprocess.run(
            [wrapped if os.path.exists(wrapped) else program],
            check=False,
            env={"LD_TRACE_LOADED_OBJECTS": "1"},
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        outside = [line for line in listed if store not in line and "linux-vdso" not in line]
        found = outside[0].strip() if outside else f"{len(listed)} libraries, all in the store"
        yield Result(f"{name}'s libraries", bool(listed) and not outside, found)

"""The command line: what stands on stdout and stderr, and the exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graft.cli import run
from graft.store.location import Location
from tests.cli.lines import CommandLine
from tests.graftable import Graftable
from tests.store_objects import Contents, add_object, new_store


class Line(CommandLine):
    """Runs command lines on the store of a little closure."""

    def __init__(self, it: Graftable, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(capsys, it.store.url)
        self.it = it
        self.url = it.store.url

    @property
    def replace(self) -> str:
        return f"--replace={self.full(self.it.old)}={self.full(self.it.new)}"

    @staticmethod
    def error(err: str) -> str:
        """The one line of an error."""
        assert re.fullmatch(r"graft: error: [^A-Z\n][^\n]*[^.\n]\n", err), err
        return err

    def full(self, path: Any) -> str:
        return self.it.store.store_dir.path(path)


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(Graftable.build(new_store(tmp_path)), capsys)


def test_the_version_names_the_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert re.fullmatch(
        r"graft \d+\.\d+\.\d+ \(kernel: (native \w+|reference)\)\n", capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "command",
    ["apply", "demo", "plan", "rewrite", "scan", "store", "store init", "verify", "why"],
)
def test_every_help_ends_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command.split(), "--help"]) == 0
    paragraphs = capsys.readouterr().out.strip().split("\n\n")
    assert f"graft {command}" in " ".join(paragraphs[-1].split())
    assert paragraphs[-1].strip().startswith("Example:")


def test_apply_prints_the_new_root_and_nothing_else(line: Line, tmp_path: Path) -> None:
    link = str(tmp_path / "patched")
    out, err = line("apply", line.full(line.it.env), line.replace, "--add-root", link)
    assert out == f"{os.readlink(link)}\n"
    assert "gone: OLD is proven to be in no byte" in err
    assert "2 paths written" in err


def test_common_options_stand_before_and_after_the_command(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [line.full(line.it.env), line.full(line.it.old)]
    before = run(["--json", "--store", line.url, "why", *arguments])
    first = capsys.readouterr().out
    after = run(["why", *arguments, "--json", "--store", line.url])
    assert (before, after) == (0, 0)
    assert first == capsys.readouterr().out


def test_quiet_says_nothing_but_the_result(line: Line) -> None:
    out, err = line("-q", "apply", line.full(line.it.env), line.replace)
    assert out.startswith(line.it.store.store_dir)
    assert err == ""


def test_apply_and_plan_give_the_documents_of_the_contract(line: Line) -> None:
    plan = line.json("plan", line.full(line.it.env), line.replace)
    assert plan["roots"] == [line.full(line.it.env)]
    assert plan["replacements"] == {line.full(line.it.old): line.full(line.it.new)}
    assert [rewrite["path"] for rewrite in plan["rewrites"]] == [
        line.full(line.it.app),
        line.full(line.it.env),
    ]
    assert plan["free_bytes"] > 0
    outcome = line.json("apply", line.full(line.it.env), line.replace)
    assert outcome["new_roots"] == plan["new_roots"]
    assert outcome["proof"]["residual"] == []


def test_the_first_word_of_the_line_is_the_verdict(line: Line) -> None:
    _, err = line("apply", line.full(line.it.env), line.replace, "--strict")
    assert "graft: gone: OLD is proven to be in no byte of the new closure; read: " in err
    _, err = line("apply", line.full(line.it.env), line.replace, "--prove", "rewritten")
    assert "graft: not-found: OLD is in nothing that was read, but 1 shared path unread" in err
    assert "proven" not in err
    document = line.json("verify", line.full(line.it.env), line.replace)
    assert document["verdict"] == "gone"
    assert document["unread"] == document["unknown"] == document["remaining"] == []


def test_a_strict_verdict_counts_names_and_ends_with_status_one(line: Line) -> None:
    files: dict[str, Contents] = {f"{n}.img": b"hsqs" + bytes(200) for n in range(5)}
    files |= {"env": line.full(line.it.env), "table": b"\0" + line.full(line.it.env).encode()}
    root = add_object(line.it.store, "root-1", files, [line.it.env])
    _, err = line("apply", line.full(root), line.replace)
    assert "but 5 files not looked into, 1 changed file of unknown type ('" in err
    assert "/2.img': squashfs: it is a compressed file system image, ...)" in err
    assert "/3.img" not in err
    for command in ("apply", "verify"):
        _, err = line(command, line.full(root), line.replace, "--strict", "-v", status=1)
        assert "/table': changed, and not known to be right" in err
    document = line.json("verify", line.full(root), line.replace)
    assert (document["verdict"], len(document["unread"])) == ("not-found", 5)
    assert [each["file"] for each in document["unknown"]] == ["table"]


def test_places_that_are_allowed_are_said_to_be_allowed(line: Line) -> None:
    page = add_object(line.it.store, "page-1", {"text": line.full(line.it.old).encode()})
    files: dict[str, Contents] = {"env": line.full(line.it.env), "page": line.full(page)}
    root = add_object(line.it.store, "root-1", files, [line.it.env, page])
    allowed = "--allow-residual=*-page-1/*"
    _, err = line("apply", line.full(root), line.replace, allowed, "--strict")
    assert "graft: OLD is left where you allowed it: 1 acknowledged place; read: " in err
    _, err = line("apply", line.full(root), line.replace, status=1)
    assert "graft: found: replaced or rewritten paths are still in 1 place; read: " in err


@pytest.mark.parametrize("scope", ["rewritten", "none"])
def test_a_strict_proof_is_one_of_the_whole_closure(line: Line, scope: str) -> None:
    how = ("--strict", "--prove", scope)
    _, err = line("apply", line.full(line.it.env), line.replace, *how, status=2)
    assert "--strict needs a proof of the whole closure" in err


def test_plan_writes_nothing_but_its_file(line: Line, tmp_path: Path) -> None:
    before = sorted(os.listdir(line.it.store.location.real_store_dir))
    file = tmp_path / "plan.json"
    out, _ = line("plan", line.full(line.it.env), line.replace, "-o", str(file))
    assert re.search(rf"^app 1 +{line.it.app[:6]}… +\w{{6}}… ", out, re.MULTILINE)
    assert json.loads(file.read_text())["version"] == 1
    assert sorted(os.listdir(line.it.store.location.real_store_dir)) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["plan.json", "state", "store"]


def test_residual_references_are_shown_with_status_one(line: Line, tmp_path: Path) -> None:
    hidden = line.full(line.it.old).encode("utf-16-le")
    page = add_object(
        line.it.store,
        "page-1",
        {"text\xff".encode("latin-1").decode("utf-8", "surrogateescape"): hidden},
    )
    root = add_object(
        line.it.store,
        "root-1",
        {"env": line.full(line.it.env), "page": line.full(page)},
        [line.it.env, page],
    )
    link = tmp_path / "patched"
    out, err = line("apply", line.full(root), line.replace, "--add-root", str(link), status=1)
    assert out == ""
    assert f"{page}/text%FF" in err
    assert "utf-16" in err
    assert not link.is_symlink()
    document = line.json("apply", line.full(root), line.replace, status=1)
    (found,) = document["proof"]["residual"]
    assert found == {
        "path": line.full(page),
        "file": "text%FF",
        "offset": 2 * len(f"{line.it.store.store_dir}/"),
        "in": "contents",
        "encoding": "utf-16",
        "container": [],
        "reference": line.full(line.it.old),
        "acknowledged": False,
    }


def test_why_shows_a_chain_or_ends_with_status_one(line: Line) -> None:
    out, _ = line("why", line.full(line.it.env), "lib")
    assert [text.strip(" └─\n") for text in out.splitlines()] == [
        f"env 1 · {line.it.env[:6]}…",
        f"app 1 · {line.it.app[:6]}…",
        f"lib 1.0 · {line.it.old[:6]}…",
    ]
    out, _ = line("why", "-v", line.full(line.it.env), line.full(line.it.old))
    assert [text.strip(" └─\n") for text in out.splitlines()] == [
        line.full(path) for path in (line.it.env, line.it.app, line.it.old)
    ]
    out, err = line("why", line.full(line.it.env), line.full(line.it.new), status=1)
    assert out == ""
    assert "does not lead to" in err
    assert line.json("why", line.full(line.it.data), line.full(line.it.env), status=1) == {
        "version": 1,
        "chains": [],
    }


def test_why_all_shows_every_chain(line: Line) -> None:
    root = add_object(
        line.it.store,
        "root-1",
        {"a": line.full(line.it.env), "b": line.full(line.it.app)},
        [line.it.env, line.it.app],
    )
    chains = line.json("why", line.full(root), line.full(line.it.old), "--all")["chains"]
    assert sorted(map(len, chains)) == [3, 4]


def test_old_and_new_may_hold_equal_signs(line: Line, tmp_path: Path) -> None:
    old = add_object(line.it.store, "x=1-a", b"")
    new = add_object(line.it.store, "x=2-b", b"")
    user = add_object(line.it.store, "user-1", line.full(old), [old])
    plan = line.json("plan", line.full(user), f"--replace={line.full(old)}={line.full(new)}")
    assert plan["replacements"] == {line.full(old): line.full(new)}
    link = tmp_path / "new=link"
    link.symlink_to(line.full(new))
    plan = line.json("plan", line.full(user), f"--replace={line.full(old)}={link}")
    assert plan["replacements"] == {line.full(old): line.full(new)}


def test_store_init_makes_a_store_that_graft_opens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["store", "init", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/new/nix/store\n"
    assert run(["store", "init", str(tmp_path / "new")]) == 2
    Line.error(capsys.readouterr().err)
    location = Location.at_root(str(tmp_path / "other"))
    assert run(["store", "init", location.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["real_store_dir"] == location.real_store_dir


def test_a_deep_plan_is_recorded_in_its_file(line: Line, tmp_path: Path) -> None:
    store, old = line.it.store, line.full(line.it.old)
    page = add_object(store, "page-1", {"text": old.encode("utf-16-le")})
    file = tmp_path / "plan.json"
    _, err = line("apply", line.full(page), line.replace, status=1)
    assert "unused-replacement" in err
    assert "--deep" in err
    links = {"env": line.full(line.it.env), "page": line.full(page)}
    root = add_object(store, "root-1", links, [line.it.env, page])
    _, err = line("apply", line.full(root), line.replace, status=1)
    assert "--deep" in err
    line("plan", line.full(root), line.replace, "--deep", "-o", str(file))
    assert json.loads(file.read_text())["hidden"] == {line.full(page): [old]}
    out, err = line("apply", str(file))
    assert "OLD is in nothing that was read, but 1 changed file of unknown type" in err
    assert out == f"{json.loads(file.read_text())['new_roots'][line.full(root)]}\n"


def test_a_plan_file_is_applied_and_a_stale_one_refused(line: Line, tmp_path: Path) -> None:
    file, link = tmp_path / "plan.json", tmp_path / "patched"
    line("plan", line.full(line.it.env), line.replace, "-o", str(file))
    out, _ = line("apply", str(file), "--add-root", str(link))
    assert out == f"{os.readlink(link)}\n"
    document = json.loads(file.read_text())
    document["rewrites"].pop()
    file.write_text(json.dumps(document))
    before = _tree(str(tmp_path))
    assert line.json("apply", str(file), status=2)["error"]["kind"] == "stale-plan"
    _, err = line("apply", str(file), line.replace, status=2)
    assert "plan file" in line.error(err)
    assert _tree(str(tmp_path)) == before


def test_replacements_come_from_a_file_as_well(line: Line, tmp_path: Path) -> None:
    file = tmp_path / "replacements"
    file.write_text(f"{line.full(line.it.old)} {line.it.new}\n")
    plan = line.json("plan", line.full(line.it.env), "--replacements", str(file))
    assert plan["replacements"] == {line.full(line.it.old): line.full(line.it.new)}
    again = tmp_path / "again.json"
    again.write_text(json.dumps(plan))
    copied = line.json("plan", line.full(line.it.env), "--replacements", str(again))
    assert copied["rewrites"] == plan["rewrites"]


def test_a_dry_run_is_a_plan(line: Line) -> None:
    before = _tree(line.it.store.location.real_store_dir)
    dry = line.json("apply", line.full(line.it.env), line.replace, "--dry-run")
    assert dry.keys() == line.json("plan", line.full(line.it.env), line.replace).keys()
    assert _tree(line.it.store.location.real_store_dir) == before


def _tree(directory: str) -> list[str]:
    return sorted(
        os.path.join(top, name)
        for top, directories, files in os.walk(directory)
        for name in directories + files
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["apply"],
        ["apply", "ENV"],
        ["apply", "--replace", "OLD=NEW"],
        ["apply", "ENV", "--replace", "OLD"],
        ["apply", "ENV", "--replace", "OLD="],
        ["apply", "ENV", "--replace", "=NEW"],
        ["apply", "ENV", "--replace", "OLD=missing"],
        ["apply", "ENV", "--replace", "OLD=UNKNOWN"],
        ["apply", "UNKNOWN", "--replace", "OLD=NEW"],
        ["apply", "/etc/passwd", "--replace", "OLD=NEW"],
        ["apply", "ENV", "--replace", "OLD=NEW", "--replace", "OLD=DATA"],
        ["apply", "ENV", "--replace", "OLD=NEW", "--replace", "NEW=OLD"],
        ["apply", "ENV", "--replace", "OLD=NEW", "--jobs", "0"],
        ["apply", "ENV", "--replace", "OLD=NEW", "--jobs", "many"],
        ["apply", "ENV", "--replace", "OLD=NEW", "--prove", "everything"],
        ["apply", "ENV", "--replace", "OLD=NEW", "--cutoff", "UNKNOWN"],
        ["apply", "ENV", "--replace", "OLD=NEW", "--add-root", "/nix/nowhere/at/all"],
        ["apply", "ENV", "--replace", "OLD=NEW", "--add-root", "a", "--add-root", "b"],
        ["apply", "ENV", "--replace", "OLD=NEW", "--no-such-option"],
        ["plan", "ENV", "--replace", "OLD=NEW", "-o", "/nowhere/plan.json"],
        ["why", "ENV"],
        ["why", "ENV", "UNKNOWN"],
        ["store"],
        ["store", "init"],
        ["store", "init", "relative"],
        ["store", "init", "https://cache.example.org"],
        ["store", "init", "/proc/nowhere"],
        ["--store", "/nowhere/at/all", "why", "ENV", "OLD"],
        ["--store", "ftp://x", "why", "ENV", "OLD"],
        ["--store", "local?root=/x&shop=/y", "why", "ENV", "OLD"],
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_with_status_two_and_changes_nothing(
    line: Line, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {
        "ENV": line.full(line.it.env),
        "OLD": line.full(line.it.old),
        "NEW": line.full(line.it.new),
        "DATA": line.full(line.it.data),
        "UNKNOWN": line.full(f"{'0' * 32}-unknown-1"),
    }
    given = [re.sub(r"[A-Z]{3,}", lambda word: names[word[0]], text) for text in arguments]
    monkeypatch.chdir(tmp_path)
    before = _tree(str(tmp_path))
    _, err = line(*given, status=2)
    line.error(err)
    assert _tree(str(tmp_path)) == before
    document = line.json(*given, status=2)
    assert set(document) == {"version", "error"}
    assert {"kind", "message"} <= document["error"].keys()
    assert err == f"graft: error: {document['error']['message']}\n"


def test_a_foreign_schema_is_one_line_with_status_two(line: Line) -> None:
    Path(line.it.store.location.database_dir, "schema").write_text("99")
    _, err = line("why", line.full(line.it.env), line.full(line.it.old), status=2)
    assert "99" in line.error(err)


def test_a_device_in_a_tree_is_one_line_that_names_it(line: Line) -> None:
    share = f"{line.it.tree(line.it.app)}/share"
    os.chmod(share, 0o755)
    os.mkfifo(f"{share}/pipe")
    _, err = line("apply", line.full(line.it.env), line.replace, status=2)
    assert f"{share}/pipe" in line.error(err)


def test_an_interrupt_ends_with_130_and_leaves_nothing(line: Line) -> None:
    before = _tree(line.it.store.location.real_store_dir)
    code = (
        "import os, signal, sys; from graft.cli import run;"
        "from graft.store.local_store.making import LocalMaking;"
        "LocalMaking.finish = lambda *_: os.kill(os.getpid(), signal.{});"
        "sys.exit(run(sys.argv[1:]))"
    )
    for name in ("SIGINT", "SIGTERM"):
        result = subprocess.run(
            [
                sys.executable,
                "-c",
                code.format(name),
                "--store",
                line.url,
                "apply",
                line.full(line.it.env),
                line.replace,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 130
        assert result.stdout == ""
        assert result.stderr.splitlines()[-1] == "graft: interrupted"
    assert _tree(line.it.store.location.real_store_dir) == before


def test_a_traceback_is_shown_only_when_it_is_asked_for(line: Line) -> None:
    _, err = line("apply", "/etc/passwd", line.replace, status=2)
    assert "Traceback" not in err
    _, err = line("-vv", "apply", "/etc/passwd", line.replace, status=2)
    assert "Traceback" in err


def test_verify_answers_by_its_status(line: Line, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    line("plan", line.full(line.it.env), line.replace, "-o", str(file))
    _, err = line("verify", str(file), status=1)
    assert "not registered" in err
    line("apply", str(file))
    _, err = line("verify", str(file))
    assert "gone: OLD is proven to be in no byte" in err
    document = line.json("verify", line.full(line.it.env), line.replace)
    assert list(document)[:2] == ["version", "scope"]
    assert document["problems"] == []


def test_an_error_shows_bytes_that_are_not_utf_8_as_percent_signs(line: Line) -> None:
    out, err = line("why", os.fsdecode(b"/nowhere/\xff"), "x", "--json", status=2)
    assert "/nowhere/%FF" in line.error(err)
    assert "/nowhere/%FF" in json.loads(out)["error"]["message"]

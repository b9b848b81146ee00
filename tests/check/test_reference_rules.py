"""Rules of a derivation for references: a graft that breaks one is told, on the real Nix."""

from __future__ import annotations

import json

import pytest

from graft.check.reference_rules import ReferenceRule, rules_of
from graft.cli import run
from graft.formats.derivations.derivation import Derivation, DerivationOutput
from graft.formats.store_path import StoreDir, StorePath
from graft.jobs.apply import apply
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.real_nix import RealNix
from tests.store_objects import opened

EXPRESSION = """
let
  make = name: text: more: derivation ({
    inherit name text;
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "echo \\"$text\\" > $out" ];
  } // more);
  beside = make "beside-1" "beside" { };
  old = make "lib-1.0" "old" { };
  plain = make "lib-1.1" "new" { };
  leading = make "lib-1.2" "new ${beside}" { };
  user = name: more: make name "uses ${old}" more;
in {
  inherit old plain leading beside;
  free = user "free-1" { };
  direct = user "direct-1" { allowedReferences = [ old ]; };
  requisites = user "requisites-1" { allowedRequisites = [ old "out" ]; };
  forbidding = user "forbidding-1" { disallowedRequisites = [ beside ]; };
  not-new = user "not-new-1" { disallowedReferences = [ plain ]; };
}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Location, dict[str, StorePath]]:
    directory = tmp_path_factory.mktemp("rules")
    location = Location.of_directories(str(directory / "store"), str(directory / "state"))
    LocalStore.create(location)
    nix = RealNix(location, directory)
    file = directory / "paths.nix"
    file.write_text(EXPRESSION)
    names = ["old", "plain", "leading", "beside", "free", "direct", "requisites"]
    found = {}
    for name in [*names, "forbidding", "not-new"]:
        done = nix.run("nix-build", "--no-out-link", "-A", name, str(file))
        found[name] = StoreDir(str(directory / "store")).parse(done.strip())
    return location, found


@pytest.fixture
def built(
    made: tuple[Location, dict[str, StorePath]],
) -> tuple[LocalStore, dict[str, StorePath]]:
    return opened(made[0]), made[1]


def broken(
    built: tuple[LocalStore, dict[str, StorePath]], user: str, new: str
) -> list[tuple[StorePath | None, str]]:
    store, paths = built
    outcome = apply(store, [paths[user]], {paths["old"]: paths[new]})
    return [(each.path, each.message) for each in outcome.warnings if each.kind == "reference-rule"]


@pytest.mark.nix
@pytest.mark.parametrize(
    ("user", "new"),
    [
        ("free", "leading"),
        ("direct", "plain"),
        ("direct", "leading"),
        ("requisites", "plain"),
        ("forbidding", "plain"),
        ("not-new", "leading"),
    ],
)
def test_a_graft_within_the_rules_is_not_told(
    built: tuple[LocalStore, dict[str, StorePath]], user: str, new: str
) -> None:
    assert broken(built, user, new) == []


@pytest.mark.nix
@pytest.mark.parametrize(
    ("user", "new", "path", "rule"),
    [
        ("requisites", "leading", "beside", "allowedRequisites"),
        ("forbidding", "leading", "beside", "disallowedRequisites"),
        ("not-new", "plain", "plain", "disallowedReferences"),
    ],
)
def test_a_graft_that_breaks_a_rule_is_told(
    built: tuple[LocalStore, dict[str, StorePath]], user: str, new: str, path: str, rule: str
) -> None:
    store, paths = built
    ((told, message),) = broken(built, user, new)
    assert told == paths[user]
    assert store.store_dir.path(paths[path]) in message
    assert rule in message


@pytest.mark.nix
def test_a_plan_tells_it_in_json(
    built: tuple[LocalStore, dict[str, StorePath]], capsys: pytest.CaptureFixture[str]
) -> None:
    store, paths = built
    full = store.store_dir.path
    replace = f"--replace={full(paths['old'])}={full(paths['leading'])}"
    arguments = ["--store", store.url, "plan", full(paths["forbidding"]), replace, "--json"]
    assert run(arguments) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert [each["kind"] for each in warnings if each["kind"] == "reference-rule"] == [
        "reference-rule"
    ]


def derivation(environment: dict[str, str]) -> Derivation:
    return Derivation(
        outputs=(DerivationOutput(name="out", path=None),),
        platform="x86_64-linux",
        builder="/bin/sh",
        environment=tuple(environment.items()),
    )


def test_rules_with_structured_attributes_are_of_one_output() -> None:
    checks = {"out": {"allowedReferences": ["a", "out"], "maxSize": 1}, "dev": {}}
    made = derivation({"__json": json.dumps({"outputChecks": checks})})
    assert rules_of(made, "out") == (ReferenceRule("allowedReferences", ("a", "out")),)
    assert rules_of(made, "dev") == rules_of(made, "doc") == ()


@pytest.mark.parametrize("text", ["", "[]", '{"outputChecks": 1}', '{"outputChecks": {"out": 2}}'])
def test_structured_attributes_without_rules_are_none(text: str) -> None:
    assert rules_of(derivation({"__json": text}), "out") == ()


def test_an_empty_list_of_allowed_references_is_a_rule() -> None:
    (rule,) = rules_of(derivation({"allowedReferences": ""}), "out")
    assert rule == ReferenceRule("allowedReferences", ())
    assert not rule.forbids
    assert not rule.is_recursive

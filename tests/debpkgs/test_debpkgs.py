"""The package index, dependency resolution, the derivation graph, edited archives; then a build."""

from __future__ import annotations

import io
import itertools
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import equality, small, smoke
from .expression import Archive, expression
from .graph import build_graph, cut_cycles, reachable, topological
from .index import Index, PackageIndexError, parse_relations, version_key
from .replacement import Edit, edit_tar, read_ar, write_ar
from .resolve import Resolution, resolve
from .sets import Recipe
from .store import TOOLS
from .variants import bump, choose

# --- versions and the index


def test_versions_sort_as_debian_policy_says() -> None:
    ordered = [
        "1.0~~",
        "1.0~beta1",
        "1.0",
        "1.0-1~deb12u1",
        "1.0-1",
        "1.0-1+b1",
        "1.0a",
        "1.0+dfsg",
        "1.0.1",
        "1.9",
        "1.10",
        "1:0.1",
    ]
    for shuffled in (ordered[::-1], sorted(ordered)):
        assert sorted(shuffled, key=version_key) == ordered


def test_leading_zeros_do_not_count() -> None:
    assert version_key("1.02-3") == version_key("1.2-3")


def test_relations_keep_names_and_alternatives() -> None:
    text = "libc6 (>= 2.36), a:any | b [amd64],, default-mta | mail-transport-agent"
    assert parse_relations(text) == (
        ("libc6",),
        ("a", "b"),
        ("default-mta", "mail-transport-agent"),
    )


def paragraph(name: str, version: str = "1.0", **fields: str) -> str:
    lines = [f"Package: {name}", f"Version: {version}"]
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in fields.items()]
    return "\n".join([*lines, "SHA256: " + "0" * 64, "Description: a\n b"])


def index(*paragraphs: str) -> Index:
    return Index(["\n\n".join(paragraphs) + "\n"])


def test_the_newest_version_is_the_candidate_unless_its_source_is_pinned() -> None:
    known = index(
        paragraph("libx", "2.0", Source="x"),
        paragraph("libx", "10.0", Source="x"),
        paragraph("libx", "3.0", Source="x (2.9)"),
    )
    assert list(known.versions("libx")) == ["2.0", "3.0", "10.0"]
    newest, pinned = known.candidate("libx", {}), known.candidate("libx", {"x": "3.0"})
    assert newest is not None
    assert pinned is not None
    assert (newest.version, pinned.version) == ("10.0", "3.0")
    assert known.candidate("liby", {}) is None


# --- dependencies

BARE = Recipe(always=(), tools=(), skip=frozenset(), drop=frozenset(), add={}, groups={})


def test_resolution_follows_alternatives_and_providers() -> None:
    known = index(
        paragraph("app", Depends="nothing-real | liba, virtual, gone"),
        paragraph("liba", Pre_Depends="libb"),
        paragraph("libb"),
        paragraph("real", Provides="virtual (= 1), other"),
    )
    found = resolve(known, ["app"], {}, BARE)
    assert found.depends == {"app": ("liba", "real"), "liba": ("libb",), "libb": (), "real": ()}


def test_skipped_dropped_and_added_dependencies() -> None:
    known = index(
        paragraph("app", Depends="daemon | liba, libb, app"),
        paragraph("daemon"),
        paragraph("liba"),
        paragraph("libb"),
        paragraph("data"),
    )
    recipe = Recipe(
        always=(),
        tools=(),
        skip=frozenset({"daemon"}),
        drop=frozenset({("app", "libb")}),
        add={"app": ("data",)},
        groups={},
    )
    assert resolve(known, ["app"], {}, recipe).depends == {"app": ("data",), "data": ()}


def test_an_empty_index_says_what_to_do() -> None:
    with pytest.raises(PackageIndexError, match="apt-get update"):
        resolve(index(), ["app"], {}, BARE)


# --- the graph


def test_a_cycle_is_cut_where_it_leads_back_to_the_wanted_program() -> None:
    edges = {"lib": ["data"], "data": ["app"], "app": ["lib"]}
    assert cut_cycles(edges, ["app", *edges]) == [("data", "app")]
    assert edges == {"lib": ["data"], "data": [], "app": ["lib"]}


EDGES = st.integers(1, 8).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, size - 1), max_size=size, unique=True),
        min_size=size,
        max_size=size,
    )
)


@given(EDGES)
def test_cutting_leaves_an_order_to_build_in(adjacency: list[list[int]]) -> None:
    edges = {str(node): [str(n) for n in needs] for node, needs in enumerate(adjacency)}
    before = {node: list(needs) for node, needs in edges.items()}
    cut = cut_cycles(edges, list(edges))
    order = topological(edges)
    assert sorted(order) == sorted(edges)
    for node, needs in edges.items():
        assert all(order.index(need) < order.index(node) for need in needs)
        assert sorted(before[node]) == sorted(
            needs + [there for here, there in cut if here == node]
        )


def resolution() -> Resolution:
    known = index(
        paragraph("app", "1:2.0~rc1-1", Depends="libx1, bash"),
        paragraph("libx1", Depends="libc6"),
        paragraph("x-tools", Depends="libx1"),
        paragraph("bash", Depends="libc6"),
        paragraph("libc6", "2.36", Depends="bash"),
        paragraph("other"),
    )
    return resolve(known, ["app", "x-tools", "other"], {}, BARE)


GROUPED = Recipe(
    always=(),
    tools=("bash",),
    skip=frozenset(),
    drop=frozenset(),
    add={},
    groups={
        "glibc": {"out": ("libc6",)},
        "x": {"out": ("libx1",), "bin": ("x-tools",), "dev": ("libx-dev",)},
        "y": {"out": ("liby1",), "bin": ("other",)},
    },
)


def test_packages_are_grouped_into_outputs() -> None:
    graph = build_graph(resolution(), GROUPED)
    assert dict(graph.nodes["x"].outputs) == {"out": ("libx1",), "bin": ("x-tools",)}
    assert dict(graph.nodes["y"].outputs) == {"out": ("other",)}
    assert graph.edges["glibc"] == []
    assert graph.place["x-tools"] == ("x", "bin")


def test_what_is_not_below_the_tools_depends_on_them() -> None:
    graph = build_graph(resolution(), GROUPED)
    assert graph.edges["x"] == ["glibc", "bash"]
    assert graph.edges["bash"] == ["glibc"]
    assert reachable(graph.edges, "y") == {"y", "bash", "glibc"}
    for node in graph.nodes:
        inputs = graph.inputs(node)
        assert len(inputs) == len(set(inputs))
        assert all(graph.order.index(n) < graph.order.index(node) for n in inputs)


def test_store_names_hold_only_what_nix_allows() -> None:
    found = resolution()
    archives = {name: Archive(Path(f"/a dir/{name}%3a.deb"), "0" * 64) for name in found.packages}
    text = expression(found, build_graph(found, GROUPED), archives, "tiny")
    assert 'name = "app-2.0.rc1-1";' in text
    assert '/. + "/a dir/app%3a.deb"; name = "app-2.0.rc1-1.deb";' in text


# --- variants and edited archives


def openssl_index(*versions: str) -> Index:
    return index(*(paragraph("libssl3", v, Source="openssl") for v in versions))


def test_the_pinned_openssl_pair_is_preferred() -> None:
    pair = choose("openssl", openssl_index("3.0.20-1~deb12u2", "3.0.22-1~deb12u2", "3.0.99-1"))
    assert (pair.variant.how, pair.variant.equal_length) == ("pinned", True)
    assert pair.new.pins == {"openssl": "3.0.22-1~deb12u2"}


def test_without_the_pinned_pair_the_newest_two_are_taken() -> None:
    pair = choose("openssl", openssl_index("3.0.9-1", "3.0.11-1", "3.0.8-1"))
    assert (pair.variant.old_version, pair.variant.new_version) == ("3.0.9-1", "3.0.11-1")
    assert (pair.variant.how, pair.variant.equal_length) == ("apt", False)


def test_with_one_version_the_library_is_edited() -> None:
    pair = choose("openssl", openssl_index("3.0.9-1~deb12u1"))
    assert pair.variant.how == "edited"
    assert pair.variant.equal_length
    assert pair.new.edits == (Edit("libssl3", b"OpenSSL 3.0.9", b"OpenSSL 3.0.0"),)
    assert pair.old.edits == ()


def test_a_bumped_version_is_as_long() -> None:
    assert bump("1.2.13") == "1.2.14"
    assert bump("2.39") == "2.30"


def test_edits_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equal length"):
        Edit("p", b"1.9", b"1.10")


def test_only_libraries_are_edited_and_nothing_moves() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("./usr/lib/libz.so.1.2.13", "./usr/lib/plugin.so", "./usr/share/doc/z.source"):
            member = tarfile.TarInfo(name)
            content = b"a 1.2.13 b 1.2.13"
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    edited, count = edit_tar(buffer.getvalue(), Edit("z", b"1.2.13", b"1.2.14"))
    assert count == 4
    with tarfile.open(fileobj=io.BytesIO(edited)) as archive:
        contents = [file.read() for m in archive if (file := archive.extractfile(m)) is not None]
    assert contents == [b"a 1.2.14 b 1.2.14"] * 2 + [b"a 1.2.13 b 1.2.13"]


def test_ar_archives_survive_a_round_trip() -> None:
    members = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.gz", b"")]
    assert read_ar(write_ar(members)) == members


# --- the real thing


@pytest.mark.nix
@pytest.mark.needs(*TOOLS)
def test_the_small_set_builds_runs_and_is_kept() -> None:
    built = small()
    start = time.monotonic()
    assert small() == built
    assert time.monotonic() - start < 1

    for root in (built.old_root, built.new_root):
        failed = [result for result in smoke.run(root) if not result.ok]
        assert not failed, smoke.render(failed)

    with built.checkout() as store:
        old, new = store.closure(built.old_root), store.closure(built.new_root)
        assert {Path(path).parent for path in [*old, *new]} == {store.store_dir}
        assert set(built.replacements) <= set(old)
        assert set(built.replacements.values()) <= set(new)

        table = equality.compare(old, new, replaced=built.replacements)
        if built.variant.equal_length:
            assert not table.unexpected, table.render()
        changed = {row.name for row in table.rows if row.status is not equality.Status.SHARED}
        assert {"small-path", "system-small"} < changed
        assert len(changed) < len(table.rows)
        assert [row.name for row in table.with_status(equality.Status.ORDER)] in (
            [],
            ["small-path"],
        )

        store.run("nix-store", "--verify", "--check-contents")


@pytest.mark.nix
@pytest.mark.needs(*TOOLS)
def test_a_reset_leaves_only_what_was_built(tmp_path: Path) -> None:
    built = small()
    file = tmp_path / "file"
    file.write_text("left behind by a test")
    with built.checkout() as store:
        added = [store.run("nix-store", "--add", str(file)).strip()]
        link = store.state_dir / "gcroots" / "test"
        link.symlink_to(added[0])
        file.write_text("another")
        added.append(store.run("nix-store", "--add", str(file)).strip())
        store.run(
            "nix-store", "--add-root", str(tmp_path / "root"), "--indirect", "--realise", added[1]
        )
        assert all(Path(path).exists() for path in added)
    assert not any(Path(path).exists() for path in added)
    roots = (built.old_root, built.new_root)
    assert all(Path(p).exists() for p in itertools.chain(*map(built.store.closure, roots)))

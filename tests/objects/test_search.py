"""Deep searches: the same places in a tree, in bytes and in a NAR, and no false alarms."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import os
import pickle
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.formats.store_path import StorePath
from graft.formats.window import Window
from graft.kernel.place import Place, Site
from graft.kernel.tree import WINDOW
from graft.objects.reading import search_archive, search_object
from graft.objects.search import DeepSearch
from graft.store.objects import TreeObject
from tests.archives import File, Folder, Node, archive_of, nodes, write
from tests.debpkgs.built import small
from tests.debpkgs.store import TOOLS
from tests.examples import examples
from tests.fixups.fragments.programs import NEW, OLD
from tests.fixups.samples import ar

PATH = StorePath(f"{OLD}-openssl-3.0.20")
OTHER = StorePath(f"{NEW}-openssl-3.0.22")


def hidden(tree: Path | str, search: DeepSearch) -> tuple[Place, ...]:
    return search_object(TreeObject(str(tree)), search).hidden


def test_contents_targets_and_names_are_searched(tmp_path: Path) -> None:
    (tmp_path / OLD[::-1]).write_text("nothing")
    (tmp_path / "link").symlink_to("x" + OLD.encode().hex())
    (tmp_path / "text").write_bytes(bytes(WINDOW - 9) + base64.b64encode(b"..." + OLD.encode()))
    found = hidden(tmp_path, DeepSearch([PATH, OTHER]))
    assert sorted((each.file, each.where, each.offset, each.encoding) for each in found) == [
        (OLD[::-1].encode(), "name", 0, "reversed"),
        (b"link", "target", 1, "hex"),
        (b"text", "contents", WINDOW - 9 + 4, "base64"),
    ]
    assert {each.hash_part for each in found} == {OLD}


def test_a_hash_part_of_an_unknown_path_is_found_and_seen_as_no_path(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(OLD[::-1])
    search = DeepSearch([], [OLD])
    report = search_object(TreeObject(str(tmp_path)), search)
    assert [each.hash_part for each in report.hidden] == [OLD]
    assert search.seen(report) == frozenset()


def test_whole_hash_parts_are_no_hidden_places(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\x7fELF" + OLD.encode() + bytes(200))
    assert not hidden(tmp_path, DeepSearch([PATH]))


PIECES = st.lists(
    st.sampled_from(
        [
            OLD.encode(),
            OLD.encode()[::-1],
            OLD.encode().hex().encode(),
            gzip.compress(OLD.encode(), mtime=0),
            bz2.compress(b"a" + OLD.encode()[::-1]),
            ar([("a", gzip.compress(OLD.encode(), mtime=0))]),
            b"\x7fELF",
            b"!<arch>\n",
            b"hsqs",
            b"/nix/store/",
            b"x",
        ]
    ),
    max_size=4,
).map(b"".join)


@given(node=nodes(PIECES), most=st.sampled_from([1 << 18, 1, 7]))
@examples(1.6)
def test_a_tree_and_its_nar_have_the_same_places(
    node: Node, most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = tmp_path_factory.mktemp("tree") / "source"
    write(os.fsencode(tree), node)
    search = DeepSearch([PATH, OTHER])
    stream = io.BytesIO(archive_of(node))
    window = Window(lambda buffer: stream.readinto(buffer[:most]), lambda _: None)
    one = search_archive(window, search, places=True)
    other = search_object(TreeObject(str(tree)), search, places=True)
    assert sorted(one.hidden, key=repr) == sorted(other.hidden, key=repr)
    assert sorted(one.unread, key=repr) == sorted(other.unread, key=repr)
    assert one.report.found == other.report.found
    assert search.seen(one) == search.seen(other)
    assert search.referred(one) <= search.seen(one)


def test_a_large_file_of_a_nar_is_looked_into_as_well() -> None:
    contents = random.Random(7).randbytes(17 << 20) + OLD.encode()
    stream = io.BytesIO(archive_of(File(gzip.compress(contents, 1))))
    found = search_archive(Window(stream.readinto, lambda _: None), DeepSearch([PATH]))
    assert [(each.container, each.offset) for each in found.hidden] == [(("gzip",), 17 << 20)]


def test_a_search_may_be_pickled() -> None:
    search = pickle.loads(pickle.dumps(DeepSearch([PATH], [NEW])))
    assert search.paths == (PATH,)
    assert search.hash_parts == (OLD, NEW)
    found = search.find(OLD[::-1].encode(), Site(b"", "contents"))
    assert [place.encoding for place in found] == ["reversed"]


@pytest.mark.slow
@pytest.mark.nix
@pytest.mark.needs(*TOOLS)
def test_no_path_of_a_real_closure_holds_anything_that_is_spelled_otherwise() -> None:
    built = small()
    with built.checkout() as store:
        closure = store.closure(built.old_root)
        search = DeepSearch([StorePath(os.path.basename(path)) for path in closure])
        found = [place for path in closure for place in hidden(path, search) if place.is_spelled]
    assert not found


def test_a_file_packed_in_an_unknown_way_is_told_in_trees_and_nars(tmp_path: Path) -> None:
    noise = random.Random(7).randbytes(3000)
    files = {
        "packed": noise,
        "beside-text": b"a head of text, then\n" * 20 + noise,
        "picture.jpg": b"\xff\xd8\xff\xe0" + noise,
        "go.o": b"go object linux amd64 go1.19\n" + noise,
        "opened": b"head" + gzip.compress(noise),
        "text": b"nothing but text\n" * 100,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "member.gz").write_bytes(gzip.compress(noise))
    search = DeepSearch([PATH])
    report = search_object(TreeObject(str(tmp_path)), search)
    told = [(each.file, each.container, each.fixup) for each in report.unread]
    assert told == [
        (b"beside-text", (), "packed"),
        (b"member.gz", ("gzip",), "packed"),
        # What a stream holds is looked at, too.
        (b"opened", ("gzip@4",), "packed"),
        (b"packed", (), "packed"),
    ]
    nar = archive_of(Folder({name.encode(): File(data) for name, data in files.items()}))
    passed = search_archive(Window(io.BytesIO(nar).readinto, lambda _: None), search)
    assert [each.file for each in passed.unread] == [b"beside-text", b"opened", b"packed"]

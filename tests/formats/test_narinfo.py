"""narinfos: read strictly, written as Nix writes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.content_address import ContentAddress
from graft.formats.hashing import NIX32_ALPHABET, nix32_encode
from graft.formats.narinfo import NarInfo, parse_narinfo, print_narinfo
from graft.formats.store_path import StoreDir, StorePath
from tests.real_nix import RealNix
from tests.sri import sri_encode
from tests.store_objects import add_object, new_store

STORE = StoreDir("/nix/store")
HASH = "0123456789abcdfghijklmnpqrsvwxyz"
ONE, TWO = StorePath(f"{HASH}-one-1.0"), StorePath(f"{HASH[::-1]}-two-2.0")
DIGEST = bytes(range(32))
SPELLED = nix32_encode(DIGEST)

FULL = f"""\
StorePath: /nix/store/{ONE}
URL: nar/{SPELLED}.nar.xz
Compression: xz
FileHash: sha256:{SPELLED}
FileSize: 1204
NarHash: sha256:{SPELLED}
NarSize: 4096
References: {ONE} {TWO}
Deriver: {ONE}.drv
Sig: a-1:YWJj
Sig: b-1:YWJj
CA: fixed:r:sha256:{SPELLED}
"""
LEAST = f"""\
StorePath: /nix/store/{ONE}
URL: a.nar
NarHash: sha256:{SPELLED}
NarSize: 1
"""

_paths = st.builds(
    lambda hash_part, name: StorePath(f"{hash_part}-{name}"),
    st.text(NIX32_ALPHABET, min_size=32, max_size=32),
    st.from_regex(r"[a-z][a-z0-9+\-._?=]{0,20}", fullmatch=True),
)
_digests = st.binary(min_size=32, max_size=32)
_sizes = st.integers(1, 2**64 - 1)
_infos = st.builds(
    NarInfo,
    path=_paths,
    url=st.from_regex(r"(nar/)?[a-z0-9]{1,8}\.nar(\.xz)?(\?[a-z=]{1,4})?", fullmatch=True),
    compression=st.sampled_from(["none", "xz", "zstd", "bzip2", "gzip", "br"]),
    file_hash=st.none() | _digests,
    file_size=st.none() | _sizes,
    nar_hash=_digests,
    nar_size=_sizes,
    references=st.frozensets(_paths, max_size=3),
    deriver=st.none() | _paths,
    signatures=st.frozensets(st.sampled_from(["a:YWJj", "b:YWJj", "b:YQ=="])),
    content_address=st.none()
    | st.builds(
        ContentAddress,
        prefix=st.sampled_from(["text:", "fixed:", "fixed:r:"]),
        algorithm=st.just("sha256"),
        digest=_digests,
    ),
)


def _parse(text: str) -> NarInfo:
    return parse_narinfo(text, STORE, "x.narinfo")


def _with(key: str, value: str) -> str:
    """The full text with another value of a key, or without the key."""
    return "".join(
        f"{key}: {value}\n" if line.startswith(f"{key}:") else f"{line}\n"
        for line in FULL.splitlines()
    )


def test_all_that_may_be_said_is_read_and_written() -> None:
    info = _parse(FULL)
    assert info == NarInfo(
        path=ONE,
        url=f"nar/{SPELLED}.nar.xz",
        compression="xz",
        file_hash=DIGEST,
        file_size=1204,
        nar_hash=DIGEST,
        nar_size=4096,
        references=frozenset({ONE, TWO}),
        deriver=StorePath(f"{ONE}.drv"),
        signatures=frozenset({"a-1:YWJj", "b-1:YWJj"}),
        content_address=ContentAddress(prefix="fixed:r:", algorithm="sha256", digest=DIGEST),
    )
    assert print_narinfo(info, STORE) == FULL


def test_what_is_not_said_is_what_nix_takes_it_for() -> None:
    info = _parse(LEAST)
    assert (info.compression, info.file_hash, info.file_size) == ("bzip2", None, None)
    assert (info.references, info.deriver, info.content_address) == (frozenset(), None, None)
    silent = "Compression: \nFileSize: 0\nReferences: \nDeriver: unknown-deriver\nCA: \n"
    assert _parse(LEAST + silent + "Unknown: key\n") == info


@given(_infos, st.sampled_from(["/nix/store", "/gnu/store", "/tmp/a b"]).map(StoreDir))
def test_every_narinfo_is_read_back(info: NarInfo, store_dir: StoreDir) -> None:
    assert parse_narinfo(print_narinfo(info, store_dir), store_dir, "x") == info


@st.composite
def _spoiled(draw: st.DrawFn) -> str:
    """A text with some characters cut out, doubled or put in."""
    text = draw(st.sampled_from([FULL, LEAST]))
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    return text[:start] + draw(st.sampled_from(["", text[start:end] * 2]) | st.text()) + text[end:]


_lines = st.sampled_from([*FULL.splitlines(), "", "X", "x: y", "URL: ../x", "NarSize: -1"])


@given(st.text() | st.lists(_lines, max_size=14).map("\n".join) | _spoiled())
def test_any_text_is_a_narinfo_or_one_sentence(text: str) -> None:
    try:
        info = _parse(text)
    except BadFormatError as error:
        message = error.message
    else:
        assert _parse(print_narinfo(info, STORE)) == info
        return
    assert message.isprintable()
    assert len(message) < 500


@pytest.mark.parametrize("key", ["StorePath", "URL", "NarHash", "NarSize"])
def test_what_must_be_said_is_missed(key: str) -> None:
    text = "".join(line for line in LEAST.splitlines(keepends=True) if not line.startswith(key))
    with pytest.raises(BadFormatError, match=f"has no '{key}'"):
        _parse(text)


@pytest.mark.parametrize("key", [line.split(":")[0] for line in FULL.splitlines()])
def test_what_is_said_twice_is_an_error_but_for_signatures(key: str) -> None:
    line = next(line for line in FULL.splitlines(keepends=True) if line.startswith(key))
    if key == "Sig":
        assert _parse(FULL + line) == _parse(FULL)
        return
    with pytest.raises(BadFormatError, match=f"line 13: it is a second '{key}'"):
        _parse(FULL + line)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/etc/passwd",
        "../x.nar",
        "nar/../../x.nar",
        "nar/..",
        "./x.nar",
        "nar//x.nar",
        "nar/",
        "http://elsewhere/x.nar",
        "file:///etc/passwd",
        "//elsewhere/x.nar",
        "nar\\x",
        "nar/x\x1b[2J",
        "nar/x y",
        "nar/x#y",
    ],
)
def test_a_nar_outside_of_the_cache_is_an_error(url: str) -> None:
    with pytest.raises(BadFormatError, match="line 2"):
        _parse(_with("URL", url))


def test_servers_may_want_a_query() -> None:
    assert _parse(_with("URL", "nar/x.nar?hash=0123/..")).url == "nar/x.nar?hash=0123/.."


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("StorePath", ONE),
        ("StorePath", f"/gnu/store/{ONE}"),
        ("StorePath", f"/nix/store/{ONE}/bin"),
        ("StorePath", f"/nix/store/../store/{ONE}"),
        ("StorePath", f"/nix/store/{HASH}-a\x07b"),
        ("StorePath", f"/nix/store/{HASH}-a\rb"),
        ("Compression", "XZ"),
        ("Compression", "../xz"),
        ("FileHash", "sha256:"),
        ("FileHash", DIGEST.hex()),
        ("FileHash", f"sha1:{DIGEST.hex()[:40]}"),
        ("NarHash", f"sha256:{SPELLED[1:]}"),
        ("NarHash", f"sha256:{'z' * 52}"),
        ("FileSize", "-1"),
        ("FileSize", "1_0"),
        ("FileSize", "\uff11"),
        ("NarSize", "0"),
        ("NarSize", str(2**64)),
        ("NarSize", "9" * 5000),
        ("References", f"/nix/store/{TWO}"),
        ("References", f"../{TWO}"),
        ("References", f"{ONE} {ONE}"),
        ("References", f"{ONE}  {TWO}"),
        ("References", f"{ONE} "),
        ("References", "x" * 100_000),
        ("Deriver", ""),
        ("Deriver", f"/nix/store/{ONE}.drv"),
        ("Sig", ""),
        ("Sig", "YWJj"),
        ("Sig", "a:"),
        ("Sig", "a:b"),
        ("Sig", "a b:YWJj"),
        ("CA", "fixed"),
        ("CA", f"fixed:git:sha1:{DIGEST.hex()[:40]}"),
        ("CA", f"text:sha1:{DIGEST.hex()[:40]}"),
        ("CA", f"fixed:r:sha256:{SPELLED}0"),
    ],
)
def test_a_value_of_another_form_is_an_error_that_names_it(key: str, value: str) -> None:
    with pytest.raises(BadFormatError, match=r"narinfo 'x\.narinfo', line ") as raised:
        _parse(_with(key, value))
    assert raised.value.message.isprintable()
    assert len(raised.value.message) < 500


@pytest.mark.parametrize("spelling", [DIGEST.hex(), DIGEST.hex().upper(), SPELLED])
def test_a_hash_may_be_spelled_as_nix_spells_hashes(spelling: str) -> None:
    assert _parse(_with("NarHash", f"sha256:{spelling}")).nar_hash == DIGEST
    assert _parse(_with("NarHash", sri_encode(DIGEST))).nar_hash == DIGEST


@pytest.mark.parametrize("end", range(1, len(LEAST)))
def test_a_text_that_is_cut_is_an_error(end: int) -> None:
    with pytest.raises(BadFormatError):
        _parse(LEAST[:end])


def test_lines_of_windows_are_an_error() -> None:
    with pytest.raises(BadFormatError, match="line 1"):
        _parse(FULL.replace("\n", "\r\n"))


@pytest.mark.nix
@pytest.mark.parametrize("compression", ["xz", "zstd", "bzip2", "gzip", "none", "br"])
def test_what_nix_writes_is_read_and_written_the_same(compression: str, tmp_path: Path) -> None:
    store = new_store(tmp_path)
    nix = RealNix(store.location, tmp_path)
    one = add_object(store, "one-1", {"own": b"{self}\n"}, deriver=StorePath(f"{ONE}.drv"))
    two = add_object(store, "two-1", store.store_dir.path(one), [one])
    key, public = tmp_path / "secret", tmp_path / "public"
    nix.run("nix-store", "--generate-binary-cache-key", "test-1", str(key), str(public))
    text = tmp_path / "text"
    text.write_text("added\n")
    added = nix.run("nix-store", "--add", str(text)).strip()
    paths = [*map(store.store_dir.path, (one, two)), added]
    cache = f"file://{tmp_path}/cache?compression={compression}&secret-key={key}"
    subprocess.run(["nix", "copy", "--to", cache, *paths], env=nix.environment, check=True)
    files = sorted((tmp_path / "cache").glob("*.narinfo"))
    assert len(files) == 3
    for file in files:
        info = parse_narinfo(file.read_text(), store.store_dir, file.name)
        assert print_narinfo(info, store.store_dir) == file.read_text()
        assert info.compression == compression
        assert file.stem == info.path.hash_part
        assert len(info.signatures) == 1
        if info.path in added:
            address = info.content_address
            assert address is not None
            assert address.is_of(info.path, info.references, store.store_dir)

"""Images as mkfs.erofs makes them: fsck.erofs and the kernel read what comes of a rewrite."""

from __future__ import annotations

import base64
import contextlib
import lzma
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.fixups.erofs import rewritten
from graft.formats.erofs import MAGIC, MAGIC_AT, ErofsImage, Where
from graft.kernel import Table
from tests.examples import examples
from tests.store_objects import Contents, write_contents

pytestmark = pytest.mark.needs("mkfs.erofs", "fsck.erofs")

OLD, NEW = b"0v5i4c9wjjllpnyrj27zl2j0wkk8x1nk", b"1w5i4c9wjjllpnyrj27zl2j0wkk8x1nz"
LOWEST = b"0" * 32
STORE = f"/nix/store/{OLD.decode()}"
REDIRECT = "trusted.overlay.redirect"

ETC: Contents = {
    "systemd": {
        "system": {f"unit-{number}.service": f"{STORE}-units/{number}" for number in range(300)}
    },
    "ssl": f"{STORE}-openssl-3.0/etc/ssl",
    "hostname": b"host\n",
    "small": f"uses {STORE}-small".encode(),
    "large": b"".join(b"%d %s-large\n" % (number, STORE.encode()) for number in range(400)),
    "empty": b"",
    "aligned": b"x" * 8192,
    f"{OLD.decode()}-name": b"",
}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Makes an image of a tree, with options of mkfs.erofs."""

    def make(contents: Contents, *options: str) -> bytes:
        directory = tmp_path_factory.mktemp("erofs")
        write_contents(directory / "etc", contents, "")
        for number, name in enumerate(("hostname", "systemd")):
            with contextlib.suppress(OSError):  # only for the superuser, on some file systems
                value = f"/{STORE}-etc/{number}".encode()
                os.setxattr(directory / "etc" / name, REDIRECT, value)
                os.setxattr(directory / "etc" / name, "user.common", STORE.encode())
        image = directory / "image"
        command = ["mkfs.erofs", "--quiet", "-T1", *options, str(image), str(directory / "etc")]
        subprocess.run(command, check=True, capture_output=True)
        return image.read_bytes()

    return make


@pytest.fixture(scope="module")
def etc(make: Callable[..., bytes]) -> bytes:
    return make(ETC)


def _replaced(image: bytes, old: bytes, new: bytes) -> bytes:
    table = Table([(old, new)])

    def plain(data: bytes, _where: Where) -> bytes:
        return table.rewrite(data)[0]

    return rewritten(image, plain, lambda files: [plain(data, "contents") for _, data in files])


def _forth(image: bytes) -> bytes:
    return _replaced(image, OLD, NEW)


def _back(image: bytes) -> bytes:
    return _replaced(image, NEW, OLD)


def _expected(contents: Contents) -> Contents:
    if isinstance(contents, bytes):
        return contents.replace(OLD, NEW)
    if isinstance(contents, str):
        return contents.replace(OLD.decode(), NEW.decode())
    return {
        name.replace(OLD.decode(), NEW.decode()): _expected(inner)
        for name, inner in contents.items()
    }


def _read(place: Path) -> Contents:
    if place.is_symlink():
        return str(place.readlink())
    if place.is_dir():
        return {entry.name: _read(entry) for entry in place.iterdir()}
    return place.read_bytes()


def _extracted(image: bytes, directory: Path) -> Contents:
    """The tree as fsck.erofs gives it, having checked the image."""
    file, tree = directory / "image", directory / "tree"
    file.write_bytes(image)
    command = ["fsck.erofs", f"--extract={tree}", "--no-preserve", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return _read(tree)


@contextlib.contextmanager
def _mounted(image: bytes, directory: Path) -> Iterator[Path]:
    file, place = directory / "image", directory / "mounted"
    file.write_bytes(image)
    place.mkdir()
    command = ["mount", "-t", "erofs", "-o", "loop,ro", str(file), str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this kernel, or this user, cannot mount an erofs image")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    "options", [[], ["--chunksize=4096"], ["-Enoinline_data"], ["-Eforce-inode-extended"]]
)
def test_a_rewritten_image_is_sound_and_holds_the_rewritten_tree(
    make: Callable[..., bytes], tmp_path: Path, options: list[str]
) -> None:
    old = make(ETC, *options)
    new = _forth(old)
    assert _extracted(new, tmp_path) == _expected(ETC)
    assert OLD not in new


def test_the_kernel_reads_a_rewritten_image_and_its_attributes(etc: bytes, tmp_path: Path) -> None:
    with _mounted(_forth(etc), tmp_path) as place:
        assert _read(place) == _expected(ETC)
        names = os.listxattr(place / "hostname")
        for name in names:
            assert OLD not in os.getxattr(place / "hostname", name)
        if REDIRECT in names:
            value = os.getxattr(place / "hostname", REDIRECT)
            assert value == f"/{STORE}-etc/0".encode().replace(OLD, NEW)


def test_but_for_texts_only_the_checksum_changes(etc: bytes) -> None:
    image, new = ErofsImage.parse(etc), _forth(etc)
    without = bytearray(new)
    for text in image.texts:
        text.write(without, text.read(etc))
    checksum = slice(MAGIC_AT + 4, MAGIC_AT + 8)
    assert without[checksum] != etc[checksum]
    without[checksum] = etc[checksum]
    assert bytes(without) == etc
    assert _back(new) == etc


def test_an_image_that_does_not_change_stays_as_it_is(etc: bytes) -> None:
    assert _back(etc) is etc


def test_a_hash_in_two_parts_of_a_file_is_met_where_no_search_of_the_bytes_finds_it(
    make: Callable[..., bytes], tmp_path: Path
) -> None:
    contents: Contents = {"hostname": b"x" * 4080 + OLD + b"y", "systemd": {}}
    old = make(contents)
    assert b"x" + OLD not in old
    assert _extracted(_forth(old), tmp_path) == _expected(contents)


def test_every_text_of_an_image_is_known(etc: bytes) -> None:
    image = ErofsImage.parse(etc)
    found = Counter(text.where for text in image.texts)
    assert found["target"] == 301
    texts = [text.read(etc) for text in image.texts]
    assert b"unit-7.service" in texts
    assert f"{STORE}-units/7".encode() in texts
    assert b"host\n" in texts


def test_a_name_that_would_change_the_order_is_refused(make: Callable[..., bytes]) -> None:
    old = make({f"{OLD.decode()}-a": b"", f"{'0' * 31}1-b": b"", "hostname": b"", "systemd": {}})
    with pytest.raises(BadFormatError, match="out of order"):
        _replaced(old, OLD, LOWEST)


def test_a_compressed_image_is_refused(make: Callable[..., bytes]) -> None:
    old = make({**ETC, "large": b"the same " * 10000}, "-zlz4")  # type: ignore[dict-item]
    with pytest.raises(BadFormatError, match="compressed"):
        _forth(old)


def test_a_hash_outside_of_all_texts_is_refused(etc: bytes) -> None:
    for offset in (0, etc.rindex(bytes(40))):
        strange = bytearray(etc)
        assert not any(strange[offset : offset + 32])
        strange[offset : offset + 32] = OLD
        with pytest.raises(BadFormatError, match="no name, target, attribute or file"):
            _forth(bytes(strange))


def test_a_hash_in_an_attributes_name_is_refused(make: Callable[..., bytes]) -> None:
    old = make({"hostname": b"", "systemd": {}}).replace(b"common", b"c0mm0n")
    if b"c0mm0n" not in old:
        pytest.skip("attributes cannot be set here")

    def rewrite(data: bytes, _where: Where) -> bytes:
        return data.replace(b"c0mm0n", b"n0mm0c")

    with pytest.raises(BadFormatError, match="no name, target, attribute or file"):
        rewritten(old, rewrite, lambda files: [data for _, data in files])


def test_files_are_given_with_their_paths(make: Callable[..., bytes]) -> None:
    shown: dict[bytes, bytes] = {}

    def files(found: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        shown.update(found)
        return [data for _, data in found]

    old = make({"hostname": b"host", "systemd": {"a": {"b": STORE.encode()}, "c": STORE}})
    assert rewritten(old, lambda data, _where: data, files) is old
    assert shown == {b"hostname": b"host", b"systemd/a/b": STORE.encode()}


def test_a_change_of_length_is_refused(etc: bytes) -> None:
    with pytest.raises(BadFormatError, match="length"):
        rewritten(etc, lambda data, _: data, lambda files: [data + b"x" for _, data in files])


def test_a_checksum_that_was_wrong_is_not_made_right(etc: bytes) -> None:
    broken = bytearray(etc)
    broken[MAGIC_AT + 4] ^= 1
    with pytest.raises(BadFormatError, match="wrong before"):
        _forth(bytes(broken))


def test_digests_of_files_outside_are_refused(make: Callable[..., bytes]) -> None:
    old = make({"hostname": b"", "systemd": {}, "link": STORE})
    assert not ErofsImage.parse(old).digests
    digested = old.replace(b"overlay.redirect", b"overlay.metacopy")
    if digested == old:
        pytest.skip("attributes of overlays cannot be set here")
    with pytest.raises(BadFormatError, match="fs-verity"):
        _forth(digested)


# What mkcomposefs of composefs 1.0.8 makes, in lzma, with --from-file as nixpkgs calls it, of
#   / 0 40755 2 0 0 0 0.0 - - -
#   /systemd 0 40755 2 0 0 0 0.0 - - -
#   /systemd/a.service 0 120777 1 0 0 0 0.0 /nix/store/OLD-units/a - -
#   /hostname 3000000 100644 1 0 0 0 0.0 OLD-etc/hostname - -
#   /small 43 100644 1 0 0 0 0.0 - /nix/store/OLD -
COMPOSED = lzma.decompress(
    base64.b85decode(
        "T>t<81poj4|NsC0{{T%GiwzhE0fIab?Rm_8s6x3^%19i=cqA4zYM~>ml{{Q~{N=9cPP!|2bpZ<5w3Y;L$=!It<z1"
        "<6x$-N*jR<mhjN}57KnyR)GVcI?j5(|bWT`<Dfexj#g1D2>I)WPK95iyX8u6GeTBaU8dvAVQ0ZWKs9NAO!>7Tsjl"
        "wl)ApN>IA(F&;nFKbp0L>9dqOv1OJU@s1SG+UUk;Er$(5lJ)V6i{r7#TF}^vVzVYt9nje7E$Pr%S2Pa6Z3hl8%E`"
        "qNb}OqEop$tdO#OR!8uv~V+C<$5xD!>0o-FLO;29PbB{~e1)w!4m+lQ@3nw@T+BXyx9aKnv$sex#c8cNxz@&M;W@"
        "g>%K>jpO#reyyZ<8&^O%$mBm%uOI#3woXaSI3W$rpD{R}aDb^1yRoA{EWY{{fP1qu`-f<$+RaN>je?WItrHy+yj)"
        "aTk6CX+?up3Bgge&GbK6x73lE>@cb(=%#TX=q*4EKM@ouCmxie1o{c=Mbs^d3#8zfq%R_w02kpTdI9ME<ZHL;nIU"
        "=%qCPi!VPQ7MRx*EE@xP;oc56}V%nM>PLSQ=u;?F8BwoZ<wWY2?3msU3DRdf@n8sYHV*fOZ~Px?rHR3rJP(<EB&z"
        "w_@IRFohxAgCPBH6QRoBe_PW1wlLD&)U}qcag;3U&2PeG_s_e-ymzD#zQC5NW!39tgxd2#pcS}Z#ohd5yaaDuCCM"
        "9ORcTs9j(6G;m-u^vZ7G}#yZdkTT`APlQKPV(*^CcmeF&-Qw2j(WW6`RIhCi3OgyH+dEsQ+mJbIqCQwaz^Hd(9f~"
        "h5l%^~m;;14C(GSj2mz0Ke%Sa3T;j^Hc5D)YgtuypvU3q58{ZUgghh(iI-`Z!mmXVT}H^)NKyQ)u_Eb3bwif#4<R"
        "<0yAAuoWh88eXek#)4-qy9I6}R6ZStC99RzSahWBW0$am>zq$tKYO5HRbnWO45w*Ic5zdy5;Z~x0tq0T*L?=Z3g~"
        "kJ?@2+&G#Z;IinPN`xItS`;f)iTt`c8=m6u3Ikk+#bx?lGF>J`}3r~NtV>{U>UkNN6ZME&?w8|0zEAj?2o3q!c!O"
        "98}~O?=}c+SF<MBfna)G&*@jVTxVkK-K?$(}BpR$rM-DThdPGB#*2yw_bEpj}*q~lpfc5T6r;2E+rf{t3M%5Q!8F"
        "4op*1FMPHuLJVM#wR8B}gHC#+=Ra?kEM_7OidV;qV8!X+8qKBk|NzL5cY)1IsSj}G3h<W7%-14blK)Z9Z7;+7W>y"
        "*R<P_Or9!l6<hz24rK836W>Lej$iH0RBRxv5rn3G~If-^xwb$)S)GBrH(p{$iH1t=MAGEAc6N!m6%b!}4--!GI>B"
        "^{p=h8KL%lB*kgy@f$N2QZR~44|Ke*z*sz11%0-$_E@}G;3d^-ZPN`QwVTi6B{Pt77CA^AY_KE|ogOxK{@!cVy1#"
        "5pw6JG+ne5Cf_nMkzus&0ZBrD{iq;o2|KN+5Epd!vhAFicH!M13BS{PKdxjbau$%E|bLyIIFv{6Je;drSxT9RC%f"
        "D-#nO{ax*yBJC{Fhf*bv6%2uh7AU<`@*$ilGV@#GZ1L7OJ&jTQ+=3lHHDTk-H_l2F%aEikzhQLgolbnUd~0$h%mG"
        "2U3X-rmWTI`qS5F$VbtPxxic@q?=k-*rXv6"
    )
)


def test_the_image_of_a_systems_etc_is_rewritten(tmp_path: Path) -> None:
    assert COMPOSED.count(OLD) == 3
    new = _forth(COMPOSED)
    assert new == COMPOSED.replace(OLD, NEW)  # it has no checksum
    with _mounted(new, tmp_path) as place:
        assert os.readlink(place / "systemd/a.service").encode() == (
            f"{STORE}-units/a".encode().replace(OLD, NEW)
        )
        assert (place / "small").read_bytes() == b"/nix/store/" + NEW
        assert os.stat(place / "hostname").st_size == 3000000
        assert os.getxattr(place / "hostname", REDIRECT) == b"/%b-etc/hostname" % NEW


@pytest.fixture(scope="module")
def few(make: Callable[..., bytes]) -> bytes:
    return make({"hostname": b"x" * 5000 + OLD, "systemd": {"a": STORE, "b": b"", "c": {}}})


@given(cut=st.integers(0, 1 << 16))
def test_a_cut_off_image_is_read_or_refused(etc: bytes, cut: int) -> None:
    with contextlib.suppress(BadFormatError):
        ErofsImage.parse(etc[:cut])


@examples(5)
@given(
    changes=st.lists(
        st.tuples(
            st.one_of(st.integers(MAGIC_AT, MAGIC_AT + 128), st.integers(0, 1 << 13)),
            st.one_of(st.binary(min_size=1, max_size=8), st.just(b"\xff" * 8)),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_broken_image_is_repaired_soundly_or_refused(
    few: bytes, changes: list[tuple[int, bytes]]
) -> None:
    broken = bytearray(few)
    for at, data in changes:
        broken[at : at + len(data)] = data
    old = bytes(broken)
    with contextlib.suppress(BadFormatError):
        new = _forth(old)
        assert ErofsImage.parse(new) == ErofsImage.parse(old)


@given(st.binary(max_size=4096))
def test_any_bytes_after_the_magic_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadFormatError):
        ErofsImage.parse(bytes(MAGIC_AT) + MAGIC + data)

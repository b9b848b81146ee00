"""Images as mkfs.erofs makes them: fsck.erofs and the kernel read what comes of a rewrite."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.errors import BadFormatError
from graft.formats.erofs import MAGIC, MAGIC_AT, ErofsImage, Where, rewritten
from graft.kernel import Table
from tests.objects import Contents, write_contents

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


def _with(old: bytes, new: bytes) -> Callable[[bytes, Where], bytes]:
    table = Table([(old, new)])
    return lambda data, _where: table.rewrite(data)[0]


FORTH, BACK = _with(OLD, NEW), _with(NEW, OLD)


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
    new = rewritten(old, FORTH)
    assert _extracted(new, tmp_path) == _expected(ETC)
    assert OLD not in new


def test_the_kernel_reads_a_rewritten_image_and_its_attributes(etc: bytes, tmp_path: Path) -> None:
    with _mounted(rewritten(etc, FORTH), tmp_path) as place:
        assert _read(place) == _expected(ETC)
        names = os.listxattr(place / "hostname")
        for name in names:
            assert OLD not in os.getxattr(place / "hostname", name)
        if REDIRECT in names:
            value = os.getxattr(place / "hostname", REDIRECT)
            assert value == f"/{STORE}-etc/0".encode().replace(OLD, NEW)


def test_but_for_texts_only_the_checksum_changes(etc: bytes) -> None:
    image, new = ErofsImage.parse(etc), rewritten(etc, FORTH)
    without = bytearray(new)
    for text in image.texts:
        text.write(without, text.read(etc))
    checksum = slice(MAGIC_AT + 4, MAGIC_AT + 8)
    assert without[checksum] != etc[checksum]
    without[checksum] = etc[checksum]
    assert bytes(without) == etc
    assert rewritten(new, BACK) == etc


def test_an_image_that_does_not_change_stays_as_it_is(etc: bytes) -> None:
    assert rewritten(etc, BACK) is etc


def test_a_hash_in_two_parts_of_a_file_is_met_where_no_search_of_the_bytes_finds_it(
    make: Callable[..., bytes], tmp_path: Path
) -> None:
    contents: Contents = {"hostname": b"x" * 4080 + OLD + b"y", "systemd": {}}
    old = make(contents)
    assert b"x" + OLD not in old
    assert _extracted(rewritten(old, FORTH), tmp_path) == _expected(contents)


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
        rewritten(old, _with(OLD, LOWEST))


def test_a_compressed_image_is_refused(make: Callable[..., bytes]) -> None:
    old = make({**ETC, "large": b"the same " * 10000}, "-zlz4")  # type: ignore[dict-item]
    with pytest.raises(BadFormatError, match="compressed"):
        rewritten(old, FORTH)


def test_a_hash_outside_of_all_texts_is_refused(etc: bytes) -> None:
    for offset in (0, len(etc) - 40):
        strange = bytearray(etc)
        assert not any(strange[offset : offset + 32])
        strange[offset : offset + 32] = OLD
        with pytest.raises(BadFormatError, match="no name, target, attribute or file"):
            rewritten(bytes(strange), FORTH)


def test_a_hash_in_an_attributes_name_is_refused(make: Callable[..., bytes]) -> None:
    old = make({"hostname": b"", "systemd": {}}).replace(b"common", b"c0mm0n")
    if b"c0mm0n" not in old:
        pytest.skip("attributes cannot be set here")

    def rewrite(data: bytes, _where: Where) -> bytes:
        return data.replace(b"c0mm0n", b"n0mm0c")

    with pytest.raises(BadFormatError, match="no name, target, attribute or file"):
        rewritten(old, rewrite)


def test_a_change_of_length_is_refused(etc: bytes) -> None:
    with pytest.raises(BadFormatError, match="length"):
        rewritten(etc, lambda data, _where: data.replace(OLD, NEW * 2))


def test_a_checksum_that_was_wrong_is_not_made_right(etc: bytes) -> None:
    broken = bytearray(etc)
    broken[MAGIC_AT + 4] ^= 1
    with pytest.raises(BadFormatError, match="wrong before"):
        rewritten(bytes(broken), FORTH)


def test_digests_of_files_outside_are_refused(make: Callable[..., bytes]) -> None:
    old = make({"hostname": b"", "systemd": {}, "link": STORE})
    assert not ErofsImage.parse(old).digests
    digested = old.replace(b"overlay.redirect", b"overlay.metacopy")
    if digested == old:
        pytest.skip("attributes of overlays cannot be set here")
    with pytest.raises(BadFormatError, match="fs-verity"):
        rewritten(digested, FORTH)


# What mkcomposefs of composefs 1.0.8 makes, deflated, with --from-file as nixpkgs calls it, of
#   / 0 40755 2 0 0 0 0.0 - - -
#   /systemd 0 40755 2 0 0 0 0.0 - - -
#   /systemd/a.service 0 120777 1 0 0 0 0.0 /nix/store/OLD-units/a - -
#   /hostname 3000000 100644 1 0 0 0 0.0 OLD-etc/hostname - -
#   /small 43 100644 1 0 0 0 0.0 - /nix/store/OLD -
COMPOSED = zlib.decompress(
    base64.b85decode(
        "c-rmT3y_s{9mesq7jAMF5fKp)kcilQ@0XO2jEInk$cT*ey&YY4mxbNsvYIK884-~g5fUK*5t$honHh-@5)q-9nGp"
        "#RnHdookrA!W=KE~O*gP}MG)>bvGmW44&ftnO4Euk6-We}=w5(A2ls=`;|KsPGgU1iF{k0?h*R3$L(BV~nGpNk}T"
        "K*sT3OW{!jIAgXdcFMrD$b~_tw&qw9+hQ<hIv_IUDQ(5FguzvH*5LFkFOv6$}jrNe}pr8x#$(5SBl<2^p2u;61}t"
        "NT|_@i^sb_J6TQ3WJw)#*dN0v?i+;A~eMCP;^uD5>D|$cC&lA1B=;w<*K=cblA1L~Tq7M@NBGCtnezE97L?0^pFw"
        "rj&eYoha5q*T{uN8fy=&uufl;~BWSBq|lZi;S+Zj0`S?uzb-?u#CX9*X{Y(JvMKGSNqi{sz&<h<>@~V?}?X=vRpT"
        "Ceg=<{$|m~i~bhTCy4%5(I<+2rRbAHf1Bu&MSr{KQ$&A<=u<_1r|4IS{w~p{iT-ZUr;Gj`(XST$y`s+${e7ZeBl@"
        "+XN214~C!(jKXQCHHzfSb)MXwQkrs%bz*NI*)`Yh2KM4v7C9MKy^ZxX#(^tqzX6Mequ3q)@b{RYu*6#f08-z546M"
        "88?|TSQ+d`Ugc{B>IO$zg6@Pi+-Ev9}#`A=pPk*iRd2_eW~al7k!!NpAh|a(LX8r9io3q^yQ*|TJ#m7e@66`qTea"
        "{D$zeH`fAZXC;A%E?-G5j=${vTo#^XD-yr%IMBga-7e(JB`j<q%Tl6oBevjy15&d4#zbg7>(Z448eWHI|^ev))L-"
        "hMa|EA~<i2g0n9~AxDqHh)bJEA`%`Zm!Y7X7=TZx{W0qVEv>5z%*w{(aGRiT(r8cZ>c*(f5e{BhmMY{;24WiT-2J"
        "9~b>6qCX+}Pep%H^q-0Tl;}SfeV^#R5PiSszZCsx(GQ4zQ1oX+KP39EL_aM0uSI`W^xug7oanz5{dv)UC;Ac5e=q"
        "t`(f=U&G131h`U|4}N%Z5Q|5@}CqW?wo7e)W8=qE-0o9L%R|GVg|qMttScP{iRtY27G*!IZFt5e&yU3OY;Z9Ucgo"
        "Y1SX(0)HqpEXBG!|aw`l~wIO)|jO=jakxMZOn6PoFtq-b7o!L>{%_1GcEsyI%}pezqU45V9u%?l{F{T*EcjZ&x-1"
        "^w!cT~nO}1Ir|njt?dv;zQ!791>#Lqsv!J@ExuG$Wf7gHc^B);o{)$bk;<TT?D)-PrdHZfT3^wy0A71EGsH&=ps+"
        "zLKc{NG)YCnJL+Ok({VwL~i*FS3RteWPg>Znlqls=_T=~McYKBZ6TQ~Lb(KKwJ`W!?Vy=flx3Z`8(gt7yMR8w>OH"
        "><XB7X5(Pql#Pe^XWa=fZ^b6UybGHI^9F1(%zLjXF#jAo73Lk+RWNV1rosHP=yaI3SXaZmyP5&>#_AfF_f!$g+o="
        "TRom2+%Ch9tv_fIu2Z=Gsk-Zj<3ykTm9d9O4FzC3pm%sZsHFmI0L!@MtQfq6@GBh0&@n_%7u-3;>{Xd%qopG7e5d"
        "~St#({mfl`<=xwZ*`Wyyvtb%^9E-b%zK;LVcyo<0rQS#In0}x6)^8(R>Hi6Sq1a%Wi`wjmo+f&S=Pe5U0Db7PGtk"
        "ko0N?(?@u<tyfwKS=3U7>FmFiig?TTs8NN36eK5b%*aGwB<9?X;9S^{~<#-V0H$Pip-e^1o^B&`2n70?(VcuEnfO"
        "%7~6XthnyI|f*?1p(4u?OZ2#9o;94v)dSZFn5!9m5kaZx)_}d7tnU%v*$gFz*ib!@Mzg8s<I0L72A#hhW|b9EN!l"
        "@GQ*z|2ddj|MM_+{Ub0p{G%|x!9E7x!Z#F{JN$8&oBIiv`}&J8xAc=Rck@#)H}Y1Pdw5y*iuUch0_M)$0p_ON3Fd"
        "y?1?E=W73MD89p(nz6XxFB8|Jp$2j-647v^T%59U7HALbT30OsyH5az}^2<DzU80L061m;dV4CW>~9OnKy0_N5_6"
        "6UTt3g(7d4RbFw;k$C%Fn3TF=H}_c+&4p*Tjr%OcgxW*H_9<E_sFp@x5q1B?u_GLZi?e!?uQd#ZiN$J?t+tGZh(_"
        "v?tN2WZhKQ<?s!+h-0Y^o+~=ml+~Tf=xx3APxv^aXb5Dz4Zf6P1oh*a7iCqVC|Ehtxb=AV$wd!GRSPd}usyXmB{{"
        "9bhhnfp>bD9rxUuuE5CEW;fH@XStMszdGJ!m1!?Pn3po#$4Vo6c=8_nXBqx0)p|cbTOyH<)EG_m<mXZYy`d+)<Xp"
        "+)P%$+(%Zz+(K5t+&xyq+&I?2+%wj~+%DF^+$lD|+$1)_+#fc<+#2qNxhvcQb3?cn=3cNFKEU7qVeSB1V7~d^5A%"
        "Kh0hn+355j!6-wN}M{vnv}@ejj%d*2T8oqY$)H}#z`-_Li!d@J7#^Id!o%s248FyFf$gZZ}oILvqKCt$u=KMC`F`"
        "YD)i(feS&JMV}2#{4wQ_vC{x-;NK#d?!8(^G*0!nD4*O!F=m|9_G955twhdM`1pG9)tNd`vS~&*yAwYJWs%UpL`M"
        "KTjEKW|Lxf+xMS{CxKr-39u<Yoxhvo<xjVpT<?aM`&D{m=mb)w5J$HAwNA8|*&)mJ?Ub*|gy>s`4&(7Ts?vuMed`"
        "|8GaNpbm;d65jg8Stj44;>K2;4vSF!+4F$HD`0kAN@8JrW+6dlY<O?rL~YZWF#Jw+-{z+=VaB?ZZQIhw#wcm%_tx"
        "kA^SFJqEu}BXf_3`JQ}bkMg#6W5X~^!!m5cF<iqld?PSIBQjzmF;XKlil$+jre)fuW4fki`etB;W@N@@Vy0$h7A?"
        "avEz7bk$8s&t@~yxMt;mY4#7eEqD%yr^+LmqGj_ul>?c0GJ+L0aGiJjV+U33h`bS%eq9LIG$$9DoJbRs8q5+`*sr"
        "|254=~}MsI<D(_uI~nJ=tgerCT{9xZqYM5)3ZF=b3E7cJl_kv(2Km-OT5&}yrOUTrf>PS@A$6o`Mw|cp&$9NpZKY"
        "t`NhBp%)kolzzN*I3;ZAm!XOIbAPLeS3yPr;nxPfip%c2H7y4lkhG7)OVG^cc78WBTG9xRpBPVhrFY==x3Zp2Bqa"
        ";eBEGouEY{ph>$4>0VUhKy~9L7-`$4Q*VSzJtv#7wNjPMpL|yu?p}But_tPLd=|vZR<AshL`-ojR$Tda0iVX_!W7"
        "oF-|SW@#}qGBdL>J99EO^D;jRvM`IXI7_lL%d%n-{|bxv*HFYSWf8v|Mf@Wb@nse9Qx}mrf;81fb#+ZGP0d+-TKc"
        "B?f9UfPKbKOl"
    )
)


def test_the_image_of_a_systems_etc_is_rewritten(tmp_path: Path) -> None:
    assert COMPOSED.count(OLD) == 3
    new = rewritten(COMPOSED, FORTH)
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


@settings(max_examples=300)
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
        new = rewritten(old, FORTH)
        assert ErofsImage.parse(new) == ErofsImage.parse(old)


@given(st.binary(max_size=4096))
def test_any_bytes_after_the_magic_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadFormatError):
        ErofsImage.parse(bytes(MAGIC_AT) + MAGIC + data)

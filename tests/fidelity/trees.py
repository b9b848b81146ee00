"""Databases, caches, texts, and trees themselves."""

from __future__ import annotations

import base64
import hashlib
import os
import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote_to_bytes

from tests.fidelity.hazard import NEW, OLD, OLD_PATH, WHERE, Sample, StaleError, run, written
from tests.fixups.samples import cdb, gvdb

WIDE = "UTF-16, UTF-32"
SPELLED = "base64, percent, hex, octal, reversed, JSON `\\/` escapes of a store path"
SQLITE = "SQLite files"
TABLES = "GVDB (gschemas.compiled, dconf, gresource), cdb, gdbm, locale-archive"
CACHES = "loaders.cache, gio modules, immodules, ld.so.cache (Guix)"
FONTS = "fontconfig caches"
NAMES = "files and directories named with a hash"
LISTS = "lists sorted by store path (buildEnv manifests)"
UNITS = "systemd units, AppArmor, XML catalogs, udev rules"
TREES = (
    "hard links inside a path, executable bit, empty directories, dangling symlinks, "
    "non-UTF-8 names"
)


def file(name: str) -> Callable[[Path], bytes]:
    return lambda top: (top / name).read_bytes()


def wide(encoding: str) -> Sample:
    return Sample(
        hazard=WIDE,
        name=encoding.upper(),
        judge="Python",
        make=written("a", f"see {OLD_PATH}/lib".encode(encoding)),
        read=lambda top: (top / "a").read_bytes().decode(encoding).encode(),
    )


def _percent(data: bytes) -> bytes:
    return b"".join(b"%%%02X" % byte for byte in data)


def spelled(name: str, encoded: bytes, decode: Callable[[bytes], bytes]) -> Sample:
    return Sample(
        hazard=SPELLED,
        name=name,
        judge="decoded",
        make=written("a", b"x = " + encoded),
        read=lambda top: decode((top / "a").read_bytes()[4:]),
    )


def _octal(data: bytes) -> bytes:
    return b"".join(b"\\%03o" % byte for byte in data)


def _of_octal(data: bytes) -> bytes:
    return bytes(int(part, 8) for part in data.split(b"\\")[1:])


def database(*statements: str) -> Callable[[Path], None]:
    def make(top: Path) -> None:
        connection = sqlite3.connect(top / "a.db")
        connection.execute("CREATE TABLE t (path TEXT)")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return make


ROWS = f"INSERT INTO t VALUES ('{OLD.decode()}'), ('5'), ('7'), ('a'), ('zzz')"


def read_database(top: Path) -> bytes:
    connection = sqlite3.connect(top / "a.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT path FROM t").fetchall()
        for row in rows:
            found = connection.execute("SELECT count(*) FROM t WHERE path = ?", row).fetchone()
            assert found == (1,)
    finally:
        connection.close()
    return repr(rows).encode()


def schemas(top: Path) -> None:
    (top / "a.gschema.xml").write_text(
        '<schemalist><schema id="a.b" path="/a/b/"><key name="where" type="s">'
        f"<default>'{OLD_PATH}'</default></key></schema></schemalist>"
    )
    run("glib-compile-schemas", top)
    (top / "a.gschema.xml").unlink()


def read_schemas(top: Path) -> bytes:
    settings = {"GSETTINGS_SCHEMA_DIR": str(top), "GSETTINGS_BACKEND": "memory"}
    return run("gsettings", "get", "a.b", "where", environment=settings)


def resource(top: Path) -> None:
    contents = b"<interface>%b</interface>" % (WHERE * 9)
    value = struct.pack("<II", len(contents), 1) + zlib.compress(contents) + b"\0(uuay)"
    (top / "a.gresource").write_bytes(gvdb({b"/a/a.ui": value}))


def read_resource(top: Path) -> bytes:
    data = (top / "a.gresource").read_bytes()
    return zlib.decompressobj().decompress(data[data.index(b"\x78\x9c") :])


def gdbm(top: Path) -> None:
    code = "use GDBM_File; tie %h, 'GDBM_File', $ARGV[0], GDBM_NEWDB, 0644; $h{$ARGV[1]} = 'a'"
    run("perl", "-e", code, top / "a.gdbm", WHERE)


def read_gdbm(top: Path) -> bytes:
    code = """use GDBM_File; tie %h, 'GDBM_File', $ARGV[0], GDBM_READER, 0 or die;
        for (keys %h) {die unless $h{$_} eq 'a'; print}"""
    return run("perl", "-e", code, top / "a.gdbm")


def read_cdb(top: Path) -> bytes:
    """Looks each record's key up, as cdbget does."""
    data = (top / "a.cdb").read_bytes()
    end = int.from_bytes(data[:4], "little")
    at, shown = 2048, b""
    while at < end:
        key_size, size = (int.from_bytes(data[at + n : at + n + 4], "little") for n in (0, 4))
        key = data[at + 8 : at + 8 + key_size]
        number = 5381
        for byte in key:
            number = ((number << 5) + number & 0xFFFFFFFF) ^ byte
        table, slots = (int.from_bytes(data[number % 256 * 8 + n :][:4], "little") for n in (0, 4))
        assert slots
        slot = table + 8 * ((number >> 8) % slots)
        assert int.from_bytes(data[slot : slot + 4], "little") == number
        shown += key + data[at + 8 + key_size : at + 8 + key_size + size]
        at += 8 + key_size + size
    return shown


def read_loader_cache(top: Path) -> bytes:
    return run("ldconfig", "-p", "-C", top / "ld.so.cache")


def loader_cache(top: Path) -> None:
    root = top.with_name("root")
    directory = root / OLD_PATH[1:] / "lib"
    directory.mkdir(parents=True)
    code = root / "a.c"
    code.write_text("int a;")
    library = directory / "liba.so.1"
    run("gcc", "-shared", "-Wl,-soname,liba.so.1", "-o", library, code)
    (root / "etc").mkdir()
    (root / "etc" / "ld.so.conf").write_text(f"{OLD_PATH}/lib\n")
    run("ldconfig", "-r", root, "-X")
    (top / "ld.so.cache").write_bytes((root / "etc" / "ld.so.cache").read_bytes())


def fonts(top: Path) -> None:
    """In a directory that stands for the store's, for nothing is written to that."""
    name = hashlib.md5(f"{OLD_PATH}/share/fonts".encode()).hexdigest()
    root = top.with_name("fonts")
    directory = root / OLD_PATH[1:] / "share" / "fonts"
    directory.mkdir(parents=True)
    settings = root / "fonts.conf"
    made = root / "cache"
    made.mkdir()
    settings.write_text(
        f"<fontconfig><dir>{directory}</dir><cachedir>{made}</cachedir></fontconfig>"
    )
    run("fc-cache", directory, environment={"FONTCONFIG_FILE": str(settings)})
    [cache] = made.glob("*.cache-*")
    (top / f"{name}{cache.name[32:]}").write_bytes(cache.read_bytes())


def read_fonts(top: Path) -> bytes:
    [cache] = top.iterdir()
    shown = cache.read_bytes()
    if NEW in shown:
        directory = b"/nix/store/" + NEW + b"/share/fonts"
        if cache.name[:32] != hashlib.md5(directory).hexdigest():
            raise StaleError
    return shown


def named(top: Path) -> None:
    (top / f"{OLD.decode()}").mkdir()
    (top / f"{OLD.decode()}" / "a").write_bytes(b"a")
    (top / "1-is-between-old-and-new").write_bytes(b"b")


def listing(top: Path) -> bytes:
    names = sorted(os.fsencode(path.relative_to(top)) for path in top.rglob("*"))
    assert len(names) == 3
    return b"\n".join(names)


def manifest(top: Path) -> None:
    (top / "manifest").write_bytes(WHERE + b"\n/nix/store/" + b"1" * 32 + b"-other\n")


def units(top: Path) -> None:
    (top / "a.service").write_text(f"[Service]\nExecStart={OLD_PATH}/bin/a\n")
    (top / "wants").mkdir()
    (top / "wants" / "a.service").symlink_to(f"{OLD_PATH}/lib/systemd/a.service")


def read_units(top: Path) -> bytes:
    return (top / "a.service").read_bytes() + os.readlink(top / "wants" / "a.service").encode()


STRANGE = b"caf\xe9"


def tree(top: Path) -> None:
    (top / "empty").mkdir()
    (top / "program").write_bytes(WHERE)
    os.link(top / "program", top / "linked")
    (top / "program").chmod(0o755)
    (top / "dangling").symlink_to("nowhere")
    Path(os.fsdecode(os.path.join(os.fsencode(top), STRANGE))).write_bytes(b"a")


def read_tree(top: Path) -> bytes:
    assert sorted(os.listdir(os.fsencode(top))) == [
        STRANGE,
        b"dangling",
        b"empty",
        b"linked",
        b"program",
    ]
    assert not os.listdir(top / "empty")
    assert os.access(top / "program", os.X_OK)
    assert os.readlink(top / "dangling") == "nowhere"
    assert (top / "program").samefile(top / "linked")
    return (top / "program").read_bytes()


SAMPLES = [
    wide("utf-16-le"),
    wide("utf-32-le"),
    spelled("base64", base64.b64encode(WHERE), base64.b64decode),
    spelled("percent", _percent(WHERE), unquote_to_bytes),
    spelled("hexadecimal", WHERE.hex().encode(), lambda data: bytes.fromhex(data.decode())),
    spelled("octal escapes", _octal(WHERE), _of_octal),
    spelled("reversed", WHERE[::-1], lambda data: data[::-1]),
    spelled("JSON `\\/`", WHERE.replace(b"/", b"\\/"), lambda data: data.replace(b"\\/", b"/")),
    Sample(
        hazard=SQLITE,
        name="a table of paths",
        judge="`PRAGMA integrity_check`, and each row is looked up",
        make=database(ROWS),
        read=read_database,
    ),
    Sample(
        hazard=SQLITE,
        name="the same with an index",
        judge="`PRAGMA integrity_check`, and each row is looked up",
        make=database("CREATE INDEX i ON t (path)", ROWS),
        read=read_database,
    ),
    Sample(
        hazard=TABLES,
        name="`gschemas.compiled`, in a value",
        judge="`gsettings get`",
        make=schemas,
        read=read_schemas,
        needs=("glib-compile-schemas", "gsettings"),
    ),
    Sample(
        hazard=TABLES,
        name="a compressed resource (made by hand)",
        judge="zlib",
        make=resource,
        read=read_resource,
    ),
    Sample(
        hazard=TABLES,
        name="a cdb, in a value (made by hand)",
        judge="each key is looked up",
        make=written("a.cdb", cdb({b"a": WHERE, b"b": b"c"})),
        read=read_cdb,
    ),
    Sample(
        hazard=TABLES,
        name="a cdb, in a key (made by hand)",
        judge="each key is looked up",
        make=written("a.cdb", cdb({WHERE: b"a", b"b": b"c"})),
        read=read_cdb,
    ),
    Sample(
        hazard=TABLES,
        name="a gdbm, in a key",
        judge="perl looks each key up",
        make=gdbm,
        read=read_gdbm,
        needs=("perl",),
    ),
    Sample(
        hazard=CACHES,
        name="`loaders.cache`",
        judge="it is text",
        make=written("loaders.cache", b'"%b/lib/libpixbufloader-svg.so"\n' % WHERE),
        read=file("loaders.cache"),
    ),
    Sample(
        hazard=CACHES,
        name="`ld.so.cache`",
        judge="`ldconfig -p`",
        make=loader_cache,
        read=read_loader_cache,
        needs=("ldconfig", "gcc"),
    ),
    Sample(
        hazard=FONTS,
        name="a cache made by `fc-cache`",
        judge="the MD5 of the directory in its name",
        make=fonts,
        read=read_fonts,
        needs=("fc-cache",),
    ),
    Sample(
        hazard=NAMES,
        name="a directory whose place among others changes",
        judge="the names that are there",
        make=named,
        read=listing,
        unsorted=True,
    ),
    Sample(
        hazard=LISTS,
        name="a manifest",
        judge="it is text",
        make=manifest,
        read=file("manifest"),
    ),
    Sample(
        hazard=UNITS,
        name="a unit, and a link to one",
        judge="it is text",
        make=units,
        read=read_units,
    ),
    Sample(
        hazard=TREES,
        name="all of these",
        judge="the tree is compared",
        make=tree,
        read=read_tree,
    ),
]

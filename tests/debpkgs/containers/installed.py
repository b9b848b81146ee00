"""A Python distribution with all that sums it up, and a database."""

import base64
import hashlib
import os
import py_compile
import sqlite3

out, replaced, curl = (os.environ[name] for name in ("out", "replaced", "curl"))
SITE = f"{out}/lib/python3.11/site-packages"


def main() -> None:
    os.makedirs(f"{SITE}/made/__pycache__")
    os.makedirs(f"{SITE}/made-1.0.dist-info")
    write("made/__init__.py", f"LIBRARY = '{replaced}/lib'\n")
    write("made/more.py", f"CURL = '{curl}/bin/curl'\nOWN = '{SITE}/made'\n")
    files = []
    for module in ("__init__", "more"):
        source, cached = f"made/{module}.py", f"made/__pycache__/{module}.cpython-311.pyc"
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        # Byte code names where its source is: the one of more.py its own store path.
        shown = source if module == "__init__" else f"{SITE}/{source}"
        py_compile.compile(
            f"{SITE}/{source}", f"{SITE}/{cached}", shown, doraise=True, invalidation_mode=mode
        )
        files += [source, cached]
    lines = [f"{file},sha256={digest(file)},{size(file)}\n" for file in files]
    write("made-1.0.dist-info/RECORD", "".join([*lines, "made-1.0.dist-info/RECORD,,\n"]))
    database()
    sums = [f"{hashlib.sha256(read(file)).hexdigest()}  {file}\n" for file in files]
    write("SHA256SUMS", "".join(sums))


def database() -> None:
    with sqlite3.connect(f"{out}/paths.sqlite") as made:
        made.execute("create table paths (id integer primary key, path text)")
        made.executemany("insert into paths (path) values (?)", [(replaced,), (curl,), (out,)])
    made.close()


def read(file: str) -> bytes:
    with open(f"{SITE}/{file}", "rb") as stream:
        return stream.read()


def digest(file: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(read(file)).digest()).rstrip(b"=").decode()


def size(file: str) -> int:
    return len(read(file))


def write(file: str, text: str) -> None:
    with open(f"{SITE}/{file}", "w") as stream:
        stream.write(text)


main()

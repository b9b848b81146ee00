"""The simplest way in Python, as a peer: `bytes.replace` for each pair, on each file of a tree.

python replace_bytes.py MAP SRC DST
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    replacements, source, target = sys.argv[1:]
    with open(replacements, "rb") as stream:
        pairs = [line.split() for line in stream]
    for directory, _, names in os.walk(source):
        made = target + directory[len(source) :]
        os.mkdir(made)
        for name in names:
            file = os.path.join(directory, name)
            with open(file, "rb") as stream:
                data = stream.read()
            for old, new in pairs:
                data = data.replace(old, new)
            with open(os.path.join(made, name), "wb") as stream:
                stream.write(data)
            os.chmod(os.path.join(made, name), os.stat(file).st_mode)


if __name__ == "__main__":
    main()

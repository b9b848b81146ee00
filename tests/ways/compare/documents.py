"""Documents as `graft compare --json` prints them, made on the spot: a small one, a large one."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any

from graft.formats.hashing import nix32_encode

STORE_DIR = "/nix/store"
DOES_NOT_SEE = ("no marker", "static linking", "compressed reference", "secure execution")

# Each after what refers to it.
_SMALL: dict[str, str] = {
    "devtools-env": "git-2.45.2 curl-8.9.1-bin openssh-9.8p1 rsync-3.3.0 python3-3.12.4 "
    "wget-1.24.5 jq-1.7.1 man-db-2.12.1 nss-cacert-3.101 gnupg-2.4.5 postgresql-16.3 nginx-1.26.1 "
    "socat-1.8.0.0 tmux-3.4 vim-9.1.0509 htop-3.3.0 initrd-rescue-6.6.36",
    "initrd-rescue-6.6.36": "openssl-3.0.14 busybox-1.36.1 kmod-31",
    "git-2.45.2": "curl-8.9.1 perl-5.38.2 pcre2-10.43 zlib-1.3.1 openssl-3.0.14 gettext-0.21.1 "
    "perl5.38.2-IO-Socket-SSL-2.083 bash-5.2p26 coreutils-9.5 gawk-5.2.2 gnugrep-3.11 "
    "glibc-2.39-52",
    "wget-1.24.5": "openssl-3.0.14 pcre2-10.43 libidn2-2.3.7 libpsl-0.21.5 zlib-1.3.1 "
    "glibc-2.39-52",
    "socat-1.8.0.0": "openssl-3.0.14 readline-8.2p10 which-2.21 glibc-2.39-52",
    "nginx-1.26.1": "openssl-3.0.14 pcre2-10.43 zlib-1.3.1 libxslt-1.1.41 gd-2.3.3 "
    "libxcrypt-4.4.36 geoip-1.6.12 glibc-2.39-52",
    "postgresql-16.3": "openssl-3.0.14 krb5-1.21.2-lib linux-pam-1.6.1 systemd-minimal-libs-255.6 "
    "icu4c-73.2 libxml2-2.12.7 lz4-1.9.4 zstd-1.5.6 readline-8.2p10 tzdata-2024a glibc-2.39-52",
    "curl-8.9.1-bin": "curl-8.9.1 zlib-1.3.1 glibc-2.39-52",
    "openssh-9.8p1": "openssl-3.0.14 krb5-1.21.2-lib libfido2-1.14.0 ldns-1.8.3 linux-pam-1.6.1 "
    "libedit-20240517-3.1 zlib-1.3.1 glibc-2.39-52",
    "rsync-3.3.0": "openssl-3.0.14 popt-1.19 xxHash-0.8.2 zstd-1.5.6 lz4-1.9.4 acl-2.3.2 "
    "glibc-2.39-52",
    "gnupg-2.4.5": "libgcrypt-1.10.3 libksba-1.6.7 npth-1.7 libassuan-2.5.7 gnutls-3.8.6 "
    "openldap-2.6.8 sqlite-3.46.0 pinentry-curses-1.3.0 bzip2-1.0.8 readline-8.2p10 glibc-2.39-52",
    "pinentry-curses-1.3.0": "ncurses-6.4 libassuan-2.5.7 libgpg-error-1.50 glibc-2.39-52",
    "openldap-2.6.8": "cyrus-sasl-2.1.28 openssl-3.0.14 libxcrypt-4.4.36 glibc-2.39-52",
    "curl-8.9.1": "libssh2-1.11.0 krb5-1.21.2-lib nghttp2-1.62.1-lib openssl-3.0.14 libidn2-2.3.7 "
    "libpsl-0.21.5 brotli-1.1.0-lib zstd-1.5.6 zlib-1.3.1 glibc-2.39-52",
    "perl5.38.2-IO-Socket-SSL-2.083": "perl5.38.2-Net-SSLeay-1.92 perl5.38.2-Mozilla-CA-20230821 "
    "perl-5.38.2",
    "perl5.38.2-Mozilla-CA-20230821": "nss-cacert-3.101",
    "perl5.38.2-Net-SSLeay-1.92": "openssl-3.0.14 perl-5.38.2 glibc-2.39-52",
    "ldns-1.8.3": "openssl-3.0.14 glibc-2.39-52",
    "libfido2-1.14.0": "openssl-3.0.14 libcbor-0.11.0 systemd-minimal-libs-255.6 zlib-1.3.1",
    "krb5-1.21.2-lib": "openssl-3.0.14 keyutils-1.6.3-lib libverto-0.3.2 glibc-2.39-52",
    "cyrus-sasl-2.1.28": "openssl-3.0.14 gdbm-1.23 libxcrypt-4.4.36 krb5-1.21.2-lib glibc-2.39-52",
    "libssh2-1.11.0": "openssl-3.0.14 zlib-1.3.1 glibc-2.39-52",
    "python3-3.12.4": "openssl-3.0.14 sqlite-3.46.0 expat-2.6.2 libffi-3.4.6 mpdecimal-4.0.0 "
    "readline-8.2p10 ncurses-6.4 gdbm-1.23 bzip2-1.0.8 xz-5.4.7 zlib-1.3.1 tzdata-2024a "
    "mailcap-2.1.54 libxcrypt-4.4.36 bash-5.2p26 glibc-2.39-52",
    "openssl-3.0.14": "openssl-3.0.14 glibc-2.39-52",
    "jq-1.7.1": "oniguruma-6.9.9 glibc-2.39-52",
    "man-db-2.12.1": "groff-1.23.0 gdbm-1.23 libpipeline-1.5.7 zstd-1.5.6 glibc-2.39-52",
    "groff-1.23.0": "perl-5.38.2 bash-5.2p26 glibc-2.39-52",
    "tmux-3.4": "libevent-2.1.12 ncurses-6.4 systemd-minimal-libs-255.6 glibc-2.39-52",
    "vim-9.1.0509": "ncurses-6.4 gawk-5.2.2 bash-5.2p26 glibc-2.39-52",
    "htop-3.3.0": "ncurses-6.4 lm-sensors-3.6.0 glibc-2.39-52",
    "lm-sensors-3.6.0": "perl-5.38.2 bash-5.2p26 glibc-2.39-52",
    "gd-2.3.3": "libpng-1.6.43 libjpeg-turbo-3.0.3 zlib-1.3.1 glibc-2.39-52",
    "libxslt-1.1.41": "libxml2-2.12.7 libgcrypt-1.10.3 glibc-2.39-52",
    "gnutls-3.8.6": "nettle-3.10 p11-kit-0.25.3 libtasn1-4.19.0 libunistring-1.1 libidn2-2.3.7",
    "p11-kit-0.25.3": "libffi-3.4.6 libtasn1-4.19.0 glibc-2.39-52",
    "nettle-3.10": "gmp-6.3.0 glibc-2.39-52",
    "libksba-1.6.7": "libgpg-error-1.50",
    "libgcrypt-1.10.3": "libgpg-error-1.50 glibc-2.39-52",
    "libassuan-2.5.7": "libgpg-error-1.50 glibc-2.39-52",
    "libgpg-error-1.50": "gettext-0.21.1 glibc-2.39-52",
    "sqlite-3.46.0": "zlib-1.3.1 readline-8.2p10 glibc-2.39-52",
    "readline-8.2p10": "ncurses-6.4 glibc-2.39-52",
    "linux-pam-1.6.1": "audit-4.0 libxcrypt-4.4.36 glibc-2.39-52",
    "busybox-1.36.1": "glibc-2.39-52",
    "kmod-31": "xz-5.4.7 zstd-1.5.6 glibc-2.39-52",
    "libpsl-0.21.5": "libidn2-2.3.7 libunistring-1.1 glibc-2.39-52",
    "perl-5.38.2": "libxcrypt-4.4.36 coreutils-9.5 zlib-1.3.1 glibc-2.39-52",
    "coreutils-9.5": "acl-2.3.2 attr-2.5.2 gmp-6.3.0 glibc-2.39-52",
    "acl-2.3.2": "attr-2.5.2 glibc-2.39-52",
    "libedit-20240517-3.1": "ncurses-6.4 glibc-2.39-52",
    "libxml2-2.12.7": "zlib-1.3.1 glibc-2.39-52",
    "glibc-2.39-52": "xgcc-13.3.0-libgcc libidn2-2.3.7",
    "libidn2-2.3.7": "libunistring-1.1",
    "openssl-3.0.15": "glibc-2.39-52",
}
_SMALL_PIVOTS = {
    "nss-cacert-3.101": ["cacert"],
    "tzdata-2024a": ["tzdata"],
    "glibc-2.39-52": ["locales", "nss-modules"],
}


def store_path(name: str, salt: str = "") -> str:
    """A full path that looks like a real one."""
    digest = hashlib.sha256(f"{salt} {name}".encode()).digest()[:20]
    return f"{STORE_DIR}/{nix32_encode(digest)}-{name}"


def small_document() -> dict[str, Any]:
    """OpenSSL replaced below a buildEnv of some 80 paths, one of them a cutoff."""
    names: dict[str, list[str]] = {name: text.split() for name, text in _SMALL.items()}
    for references in list(names.values()):
        for name in references:
            names.setdefault(name, [] if name.startswith("xgcc") else ["glibc-2.39-52"])
    for name in ("xgcc-13.3.0-libgcc", "libunistring-1.1", "mailcap-2.1.54", "tzdata-2024a"):
        names[name] = []
    names["nss-cacert-3.101"] = []
    numbers = {name: number for number, name in enumerate(names)}
    return comparison(
        list(names),
        [[numbers[other] for other in references] for references in names.values()],
        {numbers["openssl-3.0.14"]: numbers["openssl-3.0.15"]},
        cutoffs=[numbers["initrd-rescue-6.6.36"]],
        pivots={numbers[name]: types for name, types in _SMALL_PIVOTS.items()},
        probes=("bin/curl --version", "bin/python3 -c 'import ssl; print(ssl.OPENSSL_VERSION)'"),
    )


def large_document(paths: int = 5000, changed: int = 400) -> dict[str, Any]:
    """A library replaced below a system of so many paths.

    Args:
        paths: how many the closure has, NEW among them.
        changed: about how many of them lead to OLD.
    """
    chosen = random.Random(20)
    words = ["lib", "gtk", "perl", "python", "kde", "gst", "xorg", "font", "rust", "nss", "net"]
    old, new, below = paths - 2, paths - 1, paths - 3
    # Tiers: what changes stands in the first ones, what does not goes on below OLD.
    tier_of = [0, *(1 + number % 14 for number in range(1, changed))]
    tier_of += [1 + number % 20 for number in range(changed, below)] + [21, 15, 15]
    names, references = ["nixos-system-24.05"], [set[int]() for _ in range(paths)]
    by_tier: defaultdict[tuple[int, bool], list[int]] = defaultdict(list)
    for number, tier in enumerate(tier_of[:old]):
        by_tier[tier, number < changed].append(number)
    names += [
        f"{chosen.choice(words)}{chosen.choice(words)}-{number}.{chosen.randrange(30)}"
        f"{chosen.choice(['', '', '-lib', '-dev', '-bin', '-doc'])}"
        for number in range(1, paths)
    ]
    for number, tier in enumerate(tier_of[:below]):
        mine = references[number]
        if number < changed:
            above = by_tier[max(0, tier - 1), True]
            if number:
                references[chosen.choice(above)].add(number)
            further = [n for t in range(tier + 1, tier + 4) for n in by_tier[t, True]]
            mine.update(chosen.sample(further, min(2, len(further))) or [old])
        else:
            above = by_tier[chosen.choice([tier - 1, max(0, tier - 2)]), chosen.random() < 0.2]
            references[chosen.choice(above or [0])].add(number)
        beyond = [n for t in range(tier + 1, tier + 3) for n in by_tier[t, False]]
        mine.update(chosen.sample(beyond, min(chosen.randrange(7), len(beyond))), [below])
    references[old].add(below)
    references[new].add(below)
    names[old], names[new], names[below] = "openssl-3.0.14", "openssl-3.0.15", "glibc-2.39-52"
    return comparison(
        names, [sorted(mine) for mine in references], {old: new}, probes=("sw/bin/true",)
    )


def comparison(
    names: Sequence[str],
    references: Sequence[Sequence[int]],
    replacements: Mapping[int, int],
    *,
    cutoffs: Sequence[int] = (),
    pivots: Mapping[int, list[str]] | None = None,
    probes: Sequence[str] = (),
) -> dict[str, Any]:
    """The document of a closure whose first path is the root."""
    pivots = pivots or {}
    paths = [store_path(name) for name in names]
    chosen = random.Random(len(names))
    referrers: list[list[int]] = [[] for _ in names]
    for number, others in enumerate(references):
        for other in others:
            if other != number:
                referrers[other].append(number)
    towards: dict[int, int | None] = dict.fromkeys(replacements)
    waiting = deque(replacements)
    while waiting:
        number = waiting.popleft()
        for referrer in referrers[number]:
            if referrer not in towards:
                towards[referrer] = number
                if referrer not in cutoffs:
                    waiting.append(referrer)
    depths = {0: 0}
    waiting = deque([0])
    while waiting:
        number = waiting.popleft()
        for other in references[number]:
            if other not in depths:
                depths[other] = depths[number] + 1
                waiting.append(other)
    closure: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        chain, at = [], number if number in towards else None
        while at is not None:
            chain.append(paths[at])
            at = towards[at]
        role, new_path = "shared", None
        if number in replacements:
            role, new_path = "replaced", paths[replacements[number]]
        elif number in replacements.values():
            role = "new"
        elif number in cutoffs:
            role, chain = "cutoff", []
        elif chain:
            role, new_path = "rewritten", store_path(name, "new")
        elif number == 0:
            role = "root"
        closure.append(
            {
                "path": paths[number],
                "role": role,
                "new_path": new_path,
                "nar_size": int(chosen.lognormvariate(13, 2)) + 200,
                "references": sorted(references[number]),
                "chain": chain,
                "pivots": pivots.get(number, []),
                "depth": depths.get(number, 0),
            }
            | ({"root": True} if number == 0 else {})
        )
    return {
        "version": 1,
        "root": paths[0],
        "replacements": {paths[old]: paths[new] for old, new in replacements.items()},
        "closure": closure,
        "ways": _ways(closure, probes),
        "original_probes": [_probe(command, closure, old=True, new=False) for command in probes],
        "warnings": [
            {
                "kind": "name-alike",
                "path": closure[-2]["path"],
                "message": f"'{closure[-2]['path']}' has the name of a replaced path and stays",
            },
            {"kind": "unused-cutoff", "path": None, "message": "the cutoff applies to nothing"},
        ],
    }


def _ways(closure: Sequence[dict[str, Any]], probes: Sequence[str]) -> list[dict[str, Any]]:
    changed = [path for path in closure if path["role"] == "rewritten"]
    cutoffs = [path for path in closure if path["role"] == "cutoff"]
    dependents = [*changed, *cutoffs]
    total = sum(path["nar_size"] for path in changed)
    missed = [{"path": path["path"], "why": DOES_NOT_SEE[0]} for path in dependents[1:]]
    for number, entry in enumerate(missed):
        entry["why"] = DOES_NOT_SEE[0 if number % 9 else number // 9 % 4]
    return [
        {
            "way": "graft",
            "available": True,
            "reason": None,
            "paths_changed": len(changed),
            "bytes": {"written": total // 7, "shared": total - total // 7},
            "seconds": 0.84,
            "coverage": {
                "dependents": len(dependents),
                "see_new": len(changed),
                "missed": [
                    {"path": path["path"], "why": "it is a cutoff, left as it is"}
                    for path in cutoffs
                ],
            },
            "old_references_left": len(cutoffs),
            "who": "nobody",
            "undo": "switch the profile back",
            "what_happens": _what_happens("works: the new paths refer to NEW"),
            "probes": [_probe(command, closure, old=False, new=True) for command in probes],
        },
        {
            "way": "pivot",
            "available": True,
            "reason": None,
            "paths_changed": 0,
            "bytes": {"written": 512, "shared": 0},
            "seconds": 0.02,
            "coverage": {"dependents": len(dependents), "see_new": 1, "missed": missed},
            "old_references_left": len(dependents),
            "who": "the authors of every package that is to look NEW up",
            "undo": "unset the variable",
            "what_happens": _what_happens("falls back to OLD", "cleared environment"),
            "probes": [_probe(command, closure, old=True, new=False) for command in probes],
        },
        {
            "way": "mount",
            "available": False,
            "reason": "this kernel gives no user namespaces to ordinary users",
            "paths_changed": 0,
            "bytes": {"written": 0, "shared": 0},
            "seconds": None,
            "coverage": {"dependents": len(dependents), "see_new": len(dependents), "missed": []},
            "old_references_left": len(dependents),
            "who": "the kernel: user namespaces",
            "undo": "end the command",
            "what_happens": _what_happens("lose the mount", "setuid programs"),
            "probes": [],
        },
        {
            "way": "rebuild",
            "available": True,
            "reason": None,
            "paths_changed": len(dependents) + 1,
            "bytes": None,
            "seconds": 5040.0,
            "coverage": {"dependents": len(dependents), "see_new": len(dependents), "missed": []},
            "old_references_left": 0,
            "who": "the package set and its builders",
            "undo": "switch the profile back",
            "what_happens": _what_happens("works: everything is built with NEW"),
            "derivations": len(dependents) * 3,
            "levels": 9,
            "probes": [],
        },
    ]


def _what_happens(usually: str, exception: str = "another machine") -> dict[str, str]:
    situations = {
        "cleared environment": usually,
        "setuid programs": usually,
        "another user": "the same",
        "build time": "not seen by builds",
        "garbage collection": "needs a GC root",
        "another machine": "copied like any closure, with its signatures",
    }
    return situations | {exception: f"{usually}, unless something is done about it"}


def _probe(
    command: str, closure: Sequence[dict[str, Any]], *, old: bool, new: bool
) -> dict[str, Any]:
    skipped = {"replaced": not old, "new": not new}
    opened = [path["path"] for path in closure[:60] if not skipped.get(path["role"])]
    return {
        "command": command,
        "exit": 0,
        "opened_old": old,
        "opened_new": new,
        "opened": opened,
        "output_sha256": hashlib.sha256(command.encode()).hexdigest(),
        "differs": new,
        "difference": "-OpenSSL 3.0.14 4 Jun 2024\n+OpenSSL 3.0.15 3 Sep 2024\n" if new else None,
    }

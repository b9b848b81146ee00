"""The package sets, and what has to be known about Debian 12's packages to build them, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SMALL = _words("""
    bash coreutils curl git python3 openssl ca-certificates tzdata sqlite3 jq wget rsync less gawk
    findutils sed grep perl tar gzip
""")

LARGE = SMALL + _words("""
    ffmpeg postgresql-15 nginx vim gimp gcc g++ emacs-nox openjdk-17-jdk-headless libreoffice-calc
    golang-go rustc llvm-14 firefox-esr inkscape nodejs php-cli ruby
""")

SETS: Mapping[str, tuple[str, ...]] = {"small": SMALL, "large": LARGE}

# In every set: the tools below, and what the system root links to.
ALWAYS = ("dash", "bash", "coreutils", "perl", "ca-certificates", "tzdata")

# Scripts of any package may call these without depending on them (Debian's essential packages),
# so everything that is not below them depends on them.
TOOLS = ("dash", "bash", "coreutils", "perl")

# Never unpacked: they configure, start or describe a running Debian system, which a store is not;
# a dependency with one of them among its alternatives counts as met.
SKIP = frozenset(
    _words("""
    adduser apt base-files base-passwd ca-certificates-java cron dbus dbus-user-session debconf
    dconf-gsettings-backend dconf-service debianutils default-mta dictionaries-common dpkg dpkg-dev
    emacsen-common exim4 gcc-12-base gcc-13-base init init-system-helpers install-info java-common
    libc-bin libc-l10n libpam-runtime libpam-systemd libreoffice-core-nogui locales login logrotate
    lsb-base mailcap mime-support passwd perlapi-5.36.0 policykit-1 polkitd ssl-cert systemd
    systemd-sysv sysvinit-utils tzdata-legacy ucf udev x11-common xfonts-utils
    """)
)

# Nothing needs these to be loaded or run, and each would close a cycle through a library.
DROP = frozenset(
    {("ca-certificates", "openssl"), ("libc6", "libgcc-s1"), ("libtinfo6", "ncurses-base")}
)

# What Debian finds in its place whether a dependency says so or not.
ADD: Mapping[str, tuple[str, ...]] = {
    "curl": ("ca-certificates",),
    "git": ("ca-certificates",),
    "libreoffice-common": ("grep", "sed"),
    "openssl": ("ca-certificates",),
    "python3.11": ("tzdata",),
}

# Several packages made by one derivation: output -> packages. Packages that share a directory in
# which one looks for the other's files must be one store path (python3.11 and its standard
# library, perl, ruby, libreoffice); so must packages that depend on each other. An output may
# refer to itself and to earlier ones, never to later ones: Nix refuses cycles between outputs.
GROUPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "glibc": {"out": _words("libc6 libgcc-s1")},
    "openssl": {"out": _words("libssl3"), "bin": _words("openssl"), "dev": _words("libssl-dev")},
    "curl": {"out": _words("libcurl4"), "bin": _words("curl"), "gnutls": _words("libcurl3-gnutls")},
    "python3.11": {
        "out": _words("libpython3.11-minimal libpython3.11-stdlib python3.11-minimal python3.11")
    },
    "libreoffice": {
        "out": _words("""
            libreoffice-common libreoffice-core libreoffice-base-core libreoffice-calc
            libreoffice-style-colibre uno-libs-private ure libuno-cppu3
            libuno-cppuhelpergcc3-3 libuno-purpenvhelpergcc3-3 libuno-sal3
            libuno-salhelpergcc3-3
        """)
    },
    "ruby": {"out": _words("libruby3.1 libruby ruby3.1 ruby-sdbm ruby-rubygems rake ruby")},
    "python3": {"out": _words("python3-minimal python3")},
    "perl": {"out": _words("perl-base perl-modules-5.36 libperl5.36 perl")},
    "sqlite": {"out": _words("libsqlite3-0"), "bin": _words("sqlite3")},
    "jq": {"out": _words("libjq1"), "bin": _words("jq")},
    "git": {"out": _words("git"), "man": _words("git-man")},
    "xz": {"out": _words("liblzma5"), "bin": _words("xz-utils")},
    "zstd": {"out": _words("libzstd1"), "bin": _words("zstd")},
    "emacs": {"out": _words("emacs-nox emacs-bin-common emacs-common emacs-el")},
    "vim": {"out": _words("vim-runtime vim-common vim")},
    "postgresql": {"out": _words("postgresql-15 postgresql-client-15")},
    "gcc12": {"out": _words("cpp gcc g++ cpp-12 gcc-12 libgcc-12-dev g++-12 libstdc++-12-dev")},
}


@dataclass(frozen=True)
class Recipe:
    """The documented exceptions above, as one value, so that tests can use smaller ones."""

    always: tuple[str, ...] = ALWAYS
    tools: tuple[str, ...] = TOOLS
    skip: frozenset[str] = SKIP
    drop: frozenset[tuple[str, str]] = DROP
    add: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: ADD)
    groups: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=lambda: GROUPS)


DEBIAN_12 = Recipe()

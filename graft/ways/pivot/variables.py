"""The variables by which unmodified programs are told where things are, by type of pivot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

CACERT: Final = "cacert"
TZDATA: Final = "tzdata"
LOCALES: Final = "locales"
NSS_MODULES: Final = "nss-modules"
OPENGL_DRIVER: Final = "opengl-driver"
SETUID_WRAPPERS: Final = "setuid-wrappers"

SEARCH_PATHS: Final = frozenset({"LD_LIBRARY_PATH"})
"""Variables that get a value put in front, and keep their former values."""

VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    CACERT: ("SSL_CERT_FILE", "NIX_SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"),
    TZDATA: ("TZDIR", "PYTHONTZPATH"),
    LOCALES: ("LOCALE_ARCHIVE",),
    NSS_MODULES: ("LD_LIBRARY_PATH",),
    OPENGL_DRIVER: ("LIBGL_DRIVERS_PATH", "__EGL_VENDOR_LIBRARY_DIRS", "LD_LIBRARY_PATH"),
    # Programs have the directory's name in them, and read no variable.
    SETUID_WRAPPERS: (),
}
"""The variables that reach unmodified programs, by type."""

RIVALS: Final[Mapping[str, tuple[str, ...]]] = {
    CACERT: VARIABLES[CACERT],
    # Whichever of these is set, programs ask it before LOCALE_ARCHIVE; the one with a version is
    # nixpkgs' own, and home-manager sets it.
    LOCALES: ("LOCALE_ARCHIVE_2_27", "GUIX_LOCPATH", "LOCPATH"),
}
"""Variables that keep a type as it was where they are set and are not among the values."""

BUNDLES: Final = ("ca-bundle.crt", "ca-certificates.crt")
CERTIFICATES: Final = "etc/ssl/certs"
ZONE_FILES: Final = ("tzdata.zi", "zone.tab", "zone1970.tab", "UTC", "Etc")
"""One of them is in every directory of time zones."""


def variable_values(kind: str, target: str) -> dict[str, str]:
    """The values of the variables of a type.

    Args:
        kind: the type.
        target: the target of the pivot: a package in the store, or the very file or directory that
            is looked for.

    Returns:
        Nothing where the target lacks the files that the variables would name, or the type has no
        variables.
    """
    valuer = _VALUERS.get(kind)
    return valuer(target) if valuer is not None else {}


def library_directories(top: str) -> Iterator[str]:
    """The directories of libraries in a package, in Debian's and biarch layouts too."""
    for name in ("lib", "lib64", "usr/lib", "usr/lib64"):
        directory = os.path.join(top, name)
        if not os.path.isdir(directory):
            continue
        yield directory
        for inner in sorted(os.listdir(directory)):
            if inner.endswith(("-linux-gnu", "-linux-gnueabihf")):
                yield os.path.join(directory, inner)


def nss_modules(directory: str) -> list[str]:
    """The NSS modules in a directory, by the names glibc loads them by, sorted."""
    if not os.path.isdir(directory):
        return []
    names = os.listdir(directory)
    return sorted(name for name in names if name.startswith("libnss_") and ".so" in name)


def compiled_locales(directory: str) -> list[str]:
    """The locales that localedef has compiled into directories of their own, sorted."""
    if not os.path.isdir(directory):
        return []
    return sorted(
        name
        for name in os.listdir(directory)
        if os.path.exists(os.path.join(directory, name, "LC_CTYPE"))
    )


def _cacert(target: str) -> dict[str, str]:
    if not os.path.isdir(target):
        return dict.fromkeys(VARIABLES[CACERT], target)
    for directory in (os.path.join(target, CERTIFICATES), target):
        for name in BUNDLES:
            if os.path.isfile(bundle := os.path.join(directory, name)):
                return dict.fromkeys(VARIABLES[CACERT], bundle)
        # As c_rehash and `openssl rehash` make it.
        if os.path.isdir(directory) and any(name.endswith(".0") for name in os.listdir(directory)):
            return dict.fromkeys(("SSL_CERT_DIR", "GIT_SSL_CAPATH"), directory)
    return {}


def _tzdata(target: str) -> dict[str, str]:
    for name in ("share/zoneinfo", "usr/share/zoneinfo", "zoneinfo", ""):
        directory = os.path.join(target, name).rstrip("/")
        if any(os.path.exists(os.path.join(directory, file)) for file in ZONE_FILES):
            return dict.fromkeys(VARIABLES[TZDATA], directory)
    return {}


def _locales(target: str) -> dict[str, str]:
    if os.path.isfile(target):
        return {"LOCALE_ARCHIVE": target}
    places = [os.path.join(target, name) for name in ("lib/locale", "usr/lib/locale")]
    for directory in [*places, target]:
        if os.path.isfile(archive := os.path.join(directory, "locale-archive")):
            return {"LOCALE_ARCHIVE": archive}
        # Nixpkgs' glibc can be told of an archive; any glibc can be told of directories, but it
        # then looks at no archive.
        if compiled_locales(directory):
            return {"LOCPATH": directory}
    return {}


def _nss_modules(target: str) -> dict[str, str]:
    if os.path.isfile(target):
        return {"LD_LIBRARY_PATH": os.path.dirname(target)}
    for directory in [target, *library_directories(target)]:
        if nss_modules(directory):
            return {"LD_LIBRARY_PATH": directory}
    return {}


def _opengl_driver(target: str) -> dict[str, str]:
    libraries = list(library_directories(target))
    drivers = [d for d in (os.path.join(lib, "dri") for lib in libraries) if os.path.isdir(d)]
    found = {"LIBGL_DRIVERS_PATH": ":".join(drivers)} if drivers else {}
    for name in ("share/glvnd/egl_vendor.d", "usr/share/glvnd/egl_vendor.d"):
        if os.path.isdir(directory := os.path.join(target, name)):
            found["__EGL_VENDOR_LIBRARY_DIRS"] = directory
            break
    if libraries:
        found["LD_LIBRARY_PATH"] = ":".join(libraries)
    return found


_VALUERS: Final[Mapping[str, Callable[[str], dict[str, str]]]] = {
    CACERT: _cacert,
    TZDATA: _tzdata,
    LOCALES: _locales,
    NSS_MODULES: _nss_modules,
    OPENGL_DRIVER: _opengl_driver,
}

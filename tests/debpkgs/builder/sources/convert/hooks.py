"""What Debian's maintainer scripts would do, and the wrappers that lead programs to their data."""

import os
import shutil

from .layout import Layout
from .release import ALTERNATIVES, MULTIARCH, PERL, PYTHON_PACKAGES
from .text import module_directories


def run(name: str, layout: Layout, python_programs: list[str]) -> None:
    """Everything particular to a package, by the derivation's name."""
    wrap = _Wrapper(layout)
    outputs = layout.outputs
    out = outputs["out"]
    certificates = layout.lookup("/etc/ssl/certs/ca-certificates.crt", "out")
    if name == "openssl" and "bin" in outputs:
        binaries = outputs["bin"]
        wrap.defaults(
            f"{binaries}/bin/openssl",
            # the configuration belongs to the package of the program, not to the library's
            OPENSSL_CONF=f"{binaries}/etc/ssl/openssl.cnf",
            OPENSSL_MODULES=f"{out}/{MULTIARCH}/ossl-modules",
            OPENSSL_ENGINES=f"{out}/{MULTIARCH}/engines-3",
            SSL_CERT_FILE=certificates,
        )
    elif name == "curl" and "bin" in outputs:
        wrap.defaults(f"{outputs['bin']}/bin/curl", CURL_CA_BUNDLE=certificates)
    elif name == "git":
        wrap.defaults(
            f"{out}/bin/git",
            GIT_EXEC_PATH=f"{out}/lib/git-core",
            GIT_TEMPLATE_DIR=f"{out}/share/git-core/templates",
            GIT_SSL_CAINFO=certificates,
        )
    elif name == "perl":
        places = (f"{MULTIARCH}/perl/{PERL}", f"share/perl/{PERL}", f"{MULTIARCH}/perl-base")
        modules = [f"{out}/{place}" for place in places if os.path.isdir(f"{out}/{place}")]
        wrap.exports(f"{out}/bin/perl", PERL5LIB="${PERL5LIB:+$PERL5LIB:}" + ":".join(modules))
    elif name == "ca-certificates":
        _bundle_certificates(out)
    elif name == "dash" and not os.path.lexists(f"{out}/bin/sh"):
        os.symlink("dash", f"{out}/bin/sh")
    elif name == "libreoffice":
        _give_path(layout, f"{out}/lib/libreoffice/program/soffice")
        # its maintainer script copies the configuration to /etc, where alone it is looked for
        registry = f"{out}/lib/libreoffice/share/.registry"
        shutil.copytree(registry, f"{out}/etc/libreoffice/registry", dirs_exist_ok=True)
    _alternatives(layout)
    python_path = ":".join(module_directories(layout, (PYTHON_PACKAGES,)))
    for program in python_programs:
        wrap.exports(program, PYTHONPATH=python_path + "${PYTHONPATH:+:$PYTHONPATH}")


class _Wrapper:
    """Writes shell wrappers; the program moves to `.NAME-wrapped` beside its wrapper."""

    def __init__(self, layout: Layout) -> None:
        self._shell = layout.lookup("/bin/bash", "out") or layout.lookup("/bin/sh", "out")

    def defaults(self, program: str, **variables: str | None) -> None:
        """Wraps a program so that unset variables have these values."""
        self.exports(
            program,
            **{name: f"${{{name}-{value}}}" for name, value in variables.items() if value},
        )

    def exports(self, program: str, **variables: str) -> None:
        """Wraps a program so that variables have these values, as the shell expands them."""
        if self._shell is None or not os.path.exists(program):
            return
        directory, name = os.path.split(program)
        hidden = os.path.join(directory, f".{name}-wrapped")
        os.rename(program, hidden)
        # dash's exec has no -a
        keep_name = '-a "$0" ' if self._shell.endswith("bash") else ""
        lines = [f"#!{self._shell} -e"]
        lines += [f"export {name}={value}" for name, value in variables.items()]
        lines.append(f'exec {keep_name}"{hidden}" "$@"')
        with open(program, "w") as file:
            file.write("\n".join(lines) + "\n")
        os.chmod(program, 0o755)


def _bundle_certificates(out: str) -> None:
    """The bundle that update-ca-certificates makes."""
    found = [
        os.path.join(directory, name)
        for directory, _, names in os.walk(f"{out}/share/ca-certificates")
        for name in names
        if name.endswith(".crt")
    ]
    os.makedirs(f"{out}/etc/ssl/certs", exist_ok=True)
    with open(f"{out}/etc/ssl/certs/ca-certificates.crt", "w") as bundle:
        for path in sorted(found):
            with open(path) as certificate:
                bundle.write(certificate.read().rstrip("\n") + "\n")
    os.makedirs(f"{out}/nix-support/pivots", exist_ok=True)


def _alternatives(layout: Layout) -> None:
    for link, candidates in ALTERNATIVES.items():
        for candidate in candidates:
            owner = layout.own.get(candidate)
            if owner is not None and not os.path.lexists(f"{layout.outputs[owner]}/{link}"):
                os.symlink(os.path.basename(candidate), f"{layout.outputs[owner]}/{link}")


def _give_path(layout: Layout, script: str) -> None:
    """Puts the tools a script calls by name into its PATH."""
    tools = (layout.lookup(f"/usr/bin/{n}", "out") for n in ("uname", "sed", "grep", "dirname"))
    places = ":".join(dict.fromkeys(os.path.dirname(tool) for tool in tools if tool))
    with open(script) as file:
        first, _, rest = file.read().partition("\n")
    with open(script, "w") as file:
        file.write(f"{first}\nPATH={places}${{PATH:+:$PATH}}\n{rest}")

"""What is particular to Debian 12 on x86-64."""

MULTIARCH = "lib/x86_64-linux-gnu"
LOADER = f"{MULTIARCH}/ld-linux-x86-64.so.2"
PYTHON = "python3.11"
PERL = "5.36"

PYTHON_PACKAGES = "lib/python3/dist-packages"
PERL_PACKAGES = (f"{MULTIARCH}/perl5/{PERL}", "share/perl5")

# Under a merged /usr these are the same below / and below /usr.
MERGED = frozenset(
    ("bin", "sbin", "lib", "lib64", "share", "include", "libexec", "games", "src", "local")
)

# Links that maintainer scripts make through update-alternatives.
ALTERNATIVES = {
    "bin/awk": ("bin/mawk", "bin/gawk"),
    "bin/which": ("bin/which.debianutils",),
    "bin/vi": ("bin/vim.basic",),
}

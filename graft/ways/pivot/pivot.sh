# What a package looks up at run time instead of having it built in: Nixpkgs pivots, for any POSIX shell.
#
#     bundle=$(pivot_find /nix/store/...-curl-8.5.0 cacert) || bundle=/nix/store/...-nss-cacert-3.98/...
#
# The first argument is the package's own $out, which also has the marker $out/nix-support/pivots/<type>.
# Prints <dir>/<base name of out>/<type> in the first directory of NIXPKGS_PIVOT_DIRS that has it. Status 1
# where none has, or in a privileged shell (sh -p): then behave as built.
pivot_find() (
    case $- in *p*) exit 1 ;; esac
    rest=${NIXPKGS_PIVOT_DIRS-}:
    while [ -n "$rest" ]; do
        dir=${rest%%:*}
        rest=${rest#*:}
        found=$dir/${1##*/}/$2
        if [ -n "$dir" ] && [ -e "$found" ]; then
            printf '%s\n' "$found"
            exit 0
        fi
    done
    exit 1
)

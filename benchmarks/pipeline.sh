# Replaces OLD by NEW in the closure of a root, from one binary cache into another, with what Nix
# and a shell have: as nixpkgs' replaceDependencies does it, without derivations.
#
#     bash pipeline.sh restore|import SOURCE TARGET ROOT OLD=NEW...
#
# Works in the store that the environment names, which is empty. `restore` registers what it makes
# with --register-validity, `import` with --import; `nix-store --add` would register no references.
set -euo pipefail
export LC_ALL=C

how=$1 source=$2 target=$3 root=$4
shift 4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
program=$scratch/sed registration=$scratch/registration

nix copy --no-check-sigs --from "$source" "$root" "${@#*=}"
for pair in "$@"; do
  old=${pair%%=*} new=${pair#*=}
  echo "s|${old##*/}|${new##*/}|g" >>"$program"
done
nix-store --query --referrers-closure "${@%%=*}" | grep -vxF "$(printf '%s\n' "${@%%=*}")" >"$scratch/above"

# The paths to be rewritten, references first.
affected() {
  nix-store --query --requisites "$root" | grep -xF -f "$scratch/above"
}

# A name nobody has: hexadecimal, but for a letter that no hash part may have.
name() {
  local digits
  digits=$(printf '%s ' "$1" "$program" | sha1sum | tr e g)
  echo "${digits:0:32}${1:32}"
}

# Numbers and strings as in a NAR.
number() {
  printf "\\x$(printf %x $(($1 & 255)))\\x$(printf %x $(($1 >> 8)))\0\0\0\0\0\0"
}

string() {
  local padding
  number ${#1}
  printf %s "$1"
  for ((padding = -${#1} & 7; padding > 0; padding--)); do printf '\0'; done
}

# Both forms end with the new root's name in $scratch/root.
restore() {
  local path new references
  for path in $(affected); do
    new=$(name "${path##*/}")
    echo "s|${path##*/}|$new|g" >>"$program"
    new=${path%/*}/$new
    nix-store --dump "$path" | sed -f "$program" | nix-store --restore "$new"
    references=$(nix-store --query --references "$path" | sed -f "$program")
    printf '%s\n' "$new" "" "$(wc -w <<<"$references")" $references >>"$registration"
    echo "$new" >"$scratch/root"
  done
  nix-store --register-validity <"$registration"
}

import() {
  local path new references reference
  for path in $(affected); do
    new=$(name "${path##*/}")
    echo "s|${path##*/}|$new|g" >>"$program"
    new=${path%/*}/$new
    number 1
    nix-store --dump "$path" | sed -f "$program"
    printf 'NIXE\0\0\0\0'
    string "$new"
    references=$(nix-store --query --references "$path" | sed -f "$program")
    number "$(wc -w <<<"$references")"
    for reference in $references; do string "$reference"; done
    string ""
    number 0
    echo "$new" >"$scratch/root"
  done
  number 0
}

case $how in
  restore) restore ;;
  import) import | nix-store --import >"$scratch/imported" ;;
esac
nix copy --to "$target?compression=zstd" "$(cat "$scratch/root")"
cat "$scratch/root"

. "${NOTES_PARSER:-@parse-1.0@/lib/parse.sh}"

# Prints the file of a name, $2, in the directory $1; fails if there is none or it is no name.
shelf_print() {
    if ! parse_name "$2"; then
        echo "notes: '$2' is not the name of a note" >&2
        return 1
    elif ! [ -f "$1/$2" ]; then
        echo "notes: there is no note '$2'" >&2
        return 1
    fi
    while IFS= read -r line; do
        printf '%s\n' "$line"
    done <"$1/$2"
}

# A name has no slash at all: "../password" is none.
parse_version=1.1

parse_name() {
    case $1 in
    '' | */*) return 1 ;;
    esac
}

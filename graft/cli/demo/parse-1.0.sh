# A name is what follows no slash. Whether there is a slash later on nobody asks: the hole.
parse_version=1.0

parse_name() {
    case $1 in
    '' | /*) return 1 ;;
    esac
}

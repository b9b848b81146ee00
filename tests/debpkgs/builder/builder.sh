# The host's tools do the work; nothing of them is kept in the outputs.
export PATH=/usr/bin:/bin LC_ALL=C.UTF-8
umask 022
# -B: where builds are not sandboxed, root's Python would write byte code beside the sources in
# the store (and -E makes it deaf to PYTHONDONTWRITEBYTECODE).
cd "$sources"
exec /usr/bin/python3 -S -E -B -m convert

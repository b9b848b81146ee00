#!/bin/sh
# Another parser can be given at run time: a pivot of the type 'parser'.
export LC_ALL=C
own=@out@
IFS=:
for pivots in $NIXPKGS_PIVOT_DIRS; do
    parser=$pivots/${own##*/}/parser/lib
    if [ -e "$parser/libparse.so.1" ]; then
        export LD_PRELOAD="$parser/libparse.so.1"
        break
    elif [ -e "$parser/parse.sh" ]; then
        export NOTES_PARSER="$parser/parse.sh"
        break
    fi
done
exec @notes-2.3@/bin/notes "$@"

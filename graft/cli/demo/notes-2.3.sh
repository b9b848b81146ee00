#!/bin/sh
. @shelf-0.4@/lib/shelf.sh

if [ $# -ne 1 ]; then
    echo "usage: notes NAME | --version" >&2
    exit 2
elif [ "$1" = --version ]; then
    echo "notes 2.3, with parse $parse_version"
else
    shelf_print @out@/share/notes "$1"
fi

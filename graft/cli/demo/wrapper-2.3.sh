#!/bin/sh
export LC_ALL=C
exec @notes-2.3@/bin/notes "$@"

"""The fillers between the parts of a broken text, as regular expressions."""

from __future__ import annotations

from typing import Final

_LINE: Final = rb"(?:[=\\]?\r?\n|\\{1,3}n|%0[Aa]|&#(?:10|[xX][aA]);)"
_MARGIN: Final = rb"[ \t]*+(?:(?:[#*>;|+!-]|%(?![0-9a-fA-F]{2})|//|--)[ \t]*+)?+"

BREAK: Final = b"|".join(
    [
        # Ends of lines, with the margin of the next: indented, quoted, in a comment.
        rb"(?:[ \t]*+(?:\r|\\{1,3}r|%%0[Dd])?%b%b){1,3}" % (_LINE, _MARGIN),
        # Two strings that are joined: "a" "b", 'a' + L'b', "a\n",\n  "b".
        rb"(?:\\[nr]){0,2}\\{0,3}[\"'`][ \t]*+(?:[+.&,~]|<>|\.\.)?+[ \t]*+[_\\]?+"
        rb"(?:\r?\n%b){0,3}(?:(?:[.&,~]|<>|\.\.)[ \t]*+)?+(?:[bBuULrRf]8?)?+\\{0,3}[\"'`]"
        % _MARGIN,
        rb"\?=\s++=\?[\w-]++\?[BbQq]\?",  # words of a mail's head
        rb"</[\w:]++>\s*+<[\w:]++>",
        rb"<w?br ?/?>|&shy;|&#(?:173|8203);|\xc2\xad|\xe2\x80\x8b",
        rb"\\[:&%-]",  # where a man page may be hyphenated
        rb"(?:\x1b\[[0-9;]{0,12}[mK]){1,4}",  # colours of terminals
    ]
)
"""Where a text is wrapped, or joined of strings."""

GAP: Final = rb"[ \t]{0,2}[:,;.-][ \t]{0,4}|[ \t]{1,4}"
"""The separators of bytes, or of words of bytes."""

GUTTER: Final = rb"[ \t]{2,3}\|?[^\n]{1,17}\|?\r?\n[0-9a-fA-F]{6,16}(?::|[ \t])[ \t]*+"
"""The end of one line of a hex dump and the beginning of the next."""

LIST: Final = rb"\s*+[,;]?+\s*+(?:(?:/\*[^*]{0,40}\*/|//[^\n]{0,40}\n)\s*+)?+"
"""The separators of the elements of an array."""

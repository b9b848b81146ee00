"""Hash parts that are spelled otherwise: base64, hexadecimal, escapes, capitals, broken, reversed.

What an encoding leaves as it is needs none of this: a hash part has only digits and letters, so in
`%2Fnix%2Fstore%2F...`, or with its slashes escaped as JSON or C can have them, it stands whole, and
is found and rewritten like any other.
"""

from graft.objects.spellings.finder import Spelled, SpellingFinder
from graft.objects.spellings.forms import FORMS

__all__ = ["FORMS", "Spelled", "SpellingFinder"]

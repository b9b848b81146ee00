"""Hash parts that are spelled otherwise: base64, hexadecimal, escapes, capitals, broken, reversed.

A hash part that an encoding leaves unchanged needs nothing of this. It has only digits and letters:
in `%2Fnix%2Fstore%2F...`, or behind slashes escaped as in JSON or C, it stands whole. There it is
found and rewritten like any other.
"""

from graft.objects.spellings.finder import Spelled, SpellingFinder
from graft.objects.spellings.forms import FORMS

__all__ = ["FORMS", "Spelled", "SpellingFinder"]

"""The request of a plan, as a plan file has it.

The form is in docs/reference/formats.md. No name of a new path is ever taken from a file. A plan
file only has the request to plan again, and the expected result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from graft.errors import BadFormatError, StalePlanError
from graft.formats.hash_modulo import SELF_REFERENCES, SelfReferencesChoice
from graft.formats.replacements_file import json_document, replacement_pairs
from graft.plan.document import plan_document
from graft.plan.planner import Plan
from graft.plan.request import Graft
from graft.plan.rewrites import ADDRESSINGS

Word = TypeVar("Word", bound=str)

# The parts of a plan file that are compared with the plan made again. Sizes and warnings are not:
# they say nothing of the work to be done.
_COMPARED = (
    "store_dir",
    "addressing",
    "self_references",
    "roots",
    "replacements",
    "cutoffs",
    "fixups",
    "hidden",
    "rewrites",
    "aliases",
    "new_roots",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """A plan file, not yet believed.

    Attributes:
        name: the name of the file, for messages.
        graft: its request, in path arguments. Its cutoffs are complete, initrds among them; the
            finds of a deep plan are among its hidden references.
        document: all of it.
    """

    name: str
    graft: Graft[str]
    document: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str, name: str) -> PlanFile:
        """Reads the JSON document that `graft plan --json` prints.

        Args:
            name: the name of the file in errors.

        Raises:
            BadFormatError: it is no such document.
        """
        document = json_document(text, name)
        addressing = _one_of(ADDRESSINGS, document, "addressing", name)
        self_references: SelfReferencesChoice = "auto"
        if addressing == "content":
            self_references = _one_of(SELF_REFERENCES, document, "self_references", name)
        graft = Graft(
            roots=_texts(document, "roots", name),
            replacements=replacement_pairs(document, name),
            cutoffs=_texts(document, "cutoffs", name),
            initrd_cutoff=False,
            hidden=_hidden(document, name),
            addressing=addressing,
            self_references=self_references,
            fixups=_texts({"fixups": [], **document}, "fixups", name),
        )
        return cls(name=name, graft=graft, document=document)

    def check_current(self, plan: Plan) -> None:
        """Makes sure that a new plan equals the file.

        Raises:
            StalePlanError: it did not; the first difference is named.
        """
        now = plan_document(plan)
        for key in _COMPARED:
            if key not in self.document and not now.get(key):
                continue
            if (difference := _difference(key, self.document.get(key), now.get(key))) is not None:
                raise StalePlanError(
                    f"the plan in '{self.name}' is out of date: {difference}; plan again",
                    file=self.name,
                    difference=difference,
                )


def _one_of(known: tuple[Word, ...], document: Mapping[str, Any], key: str, name: str) -> Word:
    for word in known:
        if document.get(key) == word:
            return word
    raise BadFormatError(
        f"'{name}' is no plan file: its '{key}' is not one of {', '.join(known)}", file=name
    )


def _texts(document: Mapping[str, Any], key: str, name: str) -> tuple[str, ...]:
    value = document.get(key)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise BadFormatError(f"'{name}': '{key}' is no list of texts", file=name)
    return tuple(value)


def _hidden(document: Mapping[str, Any], name: str) -> dict[str, tuple[str, ...]]:
    value = document.get("hidden", {})
    if not isinstance(value, dict):
        raise BadFormatError(f"'{name}': 'hidden' is no object of lists", file=name)
    return {path: _texts(value, path, name) for path in value}


def _difference(place: str, before: object, now: object) -> str | None:
    """The first place where two JSON values differ, and both values there."""
    if before == now:
        return None
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            found = _difference(f"{place}[{key}]", before.get(key), now.get(key))
            if found is not None:
                return found
    if isinstance(before, list) and isinstance(now, list):
        for number, (one, other) in enumerate(zip(before, now, strict=False)):
            found = _difference(f"{place}[{number}]", one, other)
            if found is not None:
                return found
        return f"{place} has {len(now)} entries now and had {len(before)}"
    return f"{place} is {json.dumps(now)} now and was {json.dumps(before)}"

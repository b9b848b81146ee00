"""A comparison as one self-contained HTML file: tables that need no script, and a drawing."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from graft.formats.drv_name import split_drv_name
from graft.quantities import binary_size, counted, human_seconds
from graft.ways.compare.layout import Layout, Node

if TYPE_CHECKING:
    import jinja2

# Together they are one module of a browser's script, in this order.
_SCRIPTS: Final = (
    "closure.js",
    "coordinates.js",
    "shapes.js",
    "drawing.js",
    "viewport.js",
    "panel.js",
    "search.js",
    "page.js",
)

_KINDS: Final = {
    "root": "root",
    "replaced": "replaced (OLD)",
    "new": "replacement (NEW)",
    "rewritten": "rewritten",
    "cutoff": "cutoff",
    "shared": "shared, unchanged",
    "pivotable": "pivotable",
}
# Nothing but the page's own parts: its style and its script, known by their hashes.
_POLICY: Final = "default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'"

_VISIBLE_CONTROLS: Final = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: "\u2421",
}


def render(document: Mapping[str, Any]) -> str:
    """The page of a comparison.

    It loads nothing, and without JavaScript lacks only the drawing.

    Args:
        document: the JSON that `graft compare --json` prints (docs/reference/json.md).

    Returns:
        HTML that can be written as UTF-8, whichever texts the document holds.
    """
    environment = _environment()
    style = _asset("page.css")
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    page = environment.get_template("page.html.jinja").render(
        policy=_POLICY.format(style=_source_hash(style), script=_source_hash(script)),
        style=style,
        script=script,
        drawing=drawing(document),
        root=document["root"],
        replacements=list(document["replacements"].items()),
        ways=document["ways"],
        situations=list(
            dict.fromkeys(name for way in document["ways"] for name in way["what_happens"] or ())
        ),
        title=_title(document),
        verdict=_verdict(document),
        missed=[_missed(way) for way in document["ways"]],
        probes=_probe_groups(document),
        warnings=document["warnings"],
        kinds=_kinds(document["closure"]),
        changed=sum(path["role"] == "rewritten" for path in document["closure"]),
        paths=sum(path["role"] != "new" for path in document["closure"]),
        most_bytes=max(
            (sum(way["bytes"].values()) for way in document["ways"] if way["bytes"]), default=0
        ),
        most_seconds=max((way["seconds"] or 0 for way in document["ways"]), default=0),
    )
    return page.encode("utf-8", "backslashreplace").decode()


def drawing(document: Mapping[str, Any]) -> dict[str, Any]:
    """The data that the page's script draws from: the closure by numbers, and their places."""
    closure: Sequence[Mapping[str, Any]] = document["closure"]
    numbers = {entry["path"]: number for number, entry in enumerate(closure)}
    directory = document["root"].rpartition("/")[0] + "/"
    replacements = {
        numbers[old]: numbers[new]
        for old, new in document["replacements"].items()
        if old in numbers and new in numbers
    }
    layout = Layout.of(
        [
            Node(
                entry["role"],
                [other for other in entry["references"] if other != number],
                alone=bool(entry["pivots"]) or _is_root(entry),
            )
            for number, entry in enumerate(closure)
        ],
        replacements,
    )
    return {
        "directory": directory,
        "names": [entry["path"].removeprefix(directory) for entry in closure],
        "newNames": [
            entry["new_path"] and entry["new_path"].removeprefix(directory) for entry in closure
        ],
        "roles": [entry["role"] for entry in closure],
        "root": next((n for n, entry in enumerate(closure) if _is_root(entry)), None),
        "sizes": [entry["nar_size"] for entry in closure],
        "references": [entry["references"] for entry in closure],
        "chains": [
            [numbers[path] for path in entry["chain"] if path in numbers] for entry in closure
        ],
        "pivots": {n: entry["pivots"] for n, entry in enumerate(closure) if entry["pivots"]},
        "replacements": list(replacements.items()),
        "boxes": layout.boxes,
        "columns": layout.columns,
        "edges": layout.edges,
    }


def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - late: slow to import

    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FunctionLoader(_asset),
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": binary_size,
        "seconds": human_seconds,
        "count": counted,
        "base_name": _base_name,
        "name": lambda path: _base_name(path)[33:],
        "hash_part": lambda path: _base_name(path)[:32],
    }
    environment.policies["json.dumps_function"] = json.dumps
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": True}
    return environment


def _asset(name: str) -> str:
    return (
        importlib.resources.files("graft.ways.compare").joinpath("assets", name).read_text("utf-8")
    )


def _source_hash(text: str) -> str:
    """A text as the policy names it (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _shown(value: Any) -> Any:
    """A value as it stands in the page: control characters can be seen, and end nothing."""
    # A text that is HTML already, such as the style, is a str of jinja's own and stays.
    return value.translate(_VISIBLE_CONTROLS) if type(value) is str else value


def _base_name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_root(entry: Mapping[str, Any]) -> bool:
    return entry["role"] == "root" or bool(entry.get("root"))


def _title(document: Mapping[str, Any]) -> str:
    """The packages that are replaced, in the root."""
    pairs: dict[str, None] = {}
    for old, new in sorted(document["replacements"].items(), key=lambda pair: len(pair[0])):
        package, version = split_drv_name(_base_name(old)[33:])
        other, new_version = split_drv_name(_base_name(new)[33:])
        if package != other:
            pairs[f"{package} {version} → {other} {new_version}"] = None
        elif not any(told.startswith(f"{package} ") for told in pairs):
            pairs[f"{package} {version} → {new_version}"] = None
    told = list(pairs)
    shown = ", ".join(told[:2]) + (f" and {len(told) - 2} more" if len(told) > 2 else "")
    return f"{shown} in {_base_name(document['root'])[33:]}"


def _verdict(document: Mapping[str, Any]) -> str:
    """Two sentences: the reach of each way, and the price of the graft and of a rebuild."""
    ways = {way["way"]: way for way in document["ways"]}
    reached = [
        (name, way["coverage"]["see_new"], way["coverage"]["dependents"])
        for name, way in ways.items()
        if way["coverage"] is not None
    ]
    sentences = []
    if reached:
        (first, see_new, dependents), *others = reached
        rest = "".join(f", {name} {number:,}" for name, number, _ in others)
        sentences.append(
            f"{first.capitalize()} reaches {see_new:,} of {counted(dependents, 'dependent')} of "
            f"OLD{rest}."
        )
    graft, rebuild = ways.get("graft", {}), ways.get("rebuild", {})
    price = []
    there = any(warning["kind"] == "graft-exists" for warning in document["warnings"])
    if not there and graft.get("bytes") and graft.get("seconds") is not None:
        written = binary_size(graft["bytes"]["written"])
        price.append(f"the graft writes {written} in {human_seconds(graft['seconds'])}")
    if rebuild.get("derivations") is not None:
        builds = counted(rebuild["derivations"], "build")
        price.append(f"a rebuild takes {builds}, {rebuild['levels']:,} of them one after the other")
    if price:
        told = "; ".join(price)
        sentences.append(f"{told[0].upper()}{told[1:]}.")
    return " ".join(sentences)


def _kinds(closure: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """The legend: each kind of path there is, its words, and how many there are."""
    counts = dict.fromkeys(_KINDS, 0)
    for entry in closure:
        counts["root" if _is_root(entry) else entry["role"]] += 1
        counts["pivotable"] += bool(entry["pivots"])
    return [(kind, words, counts[kind]) for kind, words in _KINDS.items() if counts[kind]]


def _missed(way: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The dependents that do not see NEW, by reason, the commonest first."""
    by_reason: dict[str, list[str]] = {}
    for missed in way["coverage"]["missed"] if way["coverage"] else ():
        by_reason.setdefault(missed["why"], []).append(missed["path"])
    return sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))


@dataclass(frozen=True, slots=True)
class _ProbeGroup:
    """A probe command, and its results under each way that ran it."""

    command: str
    rows: list[tuple[str, Mapping[str, Any]]]


def _probe_groups(document: Mapping[str, Any]) -> list[_ProbeGroup]:
    groups: dict[tuple[str, int], _ProbeGroup] = {}
    runs = [("original", document.get("original_probes") or [])]
    runs += [(way["way"], way["probes"] or []) for way in document["ways"]]
    for way, probes in runs:
        times: dict[str, int] = {}
        for probe in probes:
            command = probe["command"]
            times[command] = times.get(command, 0) + 1
            group = groups.setdefault((command, times[command]), _ProbeGroup(command, []))
            group.rows.append((way, probe))
    return list(groups.values())

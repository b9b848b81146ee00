"""What paths of a namespace mean outside."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from graft.ways.namespace import View

_NAMES = st.sampled_from(["a", "b", "c"])
_PATHS = st.lists(_NAMES | st.sampled_from([".", ".."]), min_size=1, max_size=5).map("/".join)
# Directories, and links to relative or absolute places, among them circles and dead ends.
_TREES = st.dictionaries(
    st.lists(_NAMES, min_size=1, max_size=3).map("/".join),
    st.none() | st.tuples(st.booleans(), _PATHS),
    max_size=8,
)


@given(_TREES, _PATHS)
def test_without_places_paths_mean_what_the_kernel_says(
    tree: dict[str, tuple[bool, str] | None], path: str
) -> None:
    with tempfile.TemporaryDirectory() as made:
        top = os.path.realpath(made)
        for name, link in sorted(tree.items()):
            place = f"{top}/{name}"
            # Nothing is made through a link, which may lead out of the directory.
            if os.path.realpath(os.path.dirname(place)) != os.path.dirname(place):
                continue
            if not os.path.isdir(os.path.dirname(place)) or os.path.lexists(place):
                continue
            if link is None:
                os.mkdir(place)
            else:
                absolute, target = link
                os.symlink(f"{top}/{target}" if absolute else target, place)
        asked = f"{top}/{path}"
        view = View({})
        if os.path.exists(asked):
            assert view.outside(asked) == os.path.realpath(asked)
            assert view.is_directory(asked) == os.path.isdir(asked)
        else:
            assert not os.path.exists(view.outside(asked))


def test_links_are_followed_inside(tmp_path: Path) -> None:
    real = tmp_path / "real"
    (real / "one").mkdir(parents=True)
    (real / "one" / "file").write_text("1")
    (real / "two").symlink_to("/place/one")
    (tmp_path / "over").mkdir()
    (tmp_path / "over" / "file").write_text("2")
    view = View({"/place": str(real)})
    assert view.outside("/place/two/file") == str(real / "one" / "file")
    assert view.exists("/place/two/file")
    assert not view.exists("/place/three")
    over = View({"/place": str(real), "/place/one": str(tmp_path / "over")})
    assert over.outside("/place/two/file") == str(tmp_path / "over" / "file")
    assert over.outside("/place/two/../one") == str(tmp_path / "over")
    assert over.outside("/placebo") == "/placebo"
    assert over.outside("/") == "/"


def test_programs_are_looked_up_inside(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("")
    view = View({"/only/inside": str(tmp_path)})
    assert view.has_program("tool", "/nowhere:/only/inside")
    assert view.has_program("/only/inside/tool", "")
    assert not view.has_program("tool", "/nowhere")
    assert not view.has_program("./tool", "/only/inside")

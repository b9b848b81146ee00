"""Which kernel is used, and what is said where none can be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import graft.errors
from graft.kernel import NAME, Table, native, reference
from graft.kernel.native import load

SAY = "import graft.kernel as kernel; print(kernel.NAME, kernel.native is not None)"


@pytest.fixture(scope="module")
def bare_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package without the extension; the directory that holds it."""
    top = tmp_path_factory.mktemp("copy")
    source = Path(graft.errors.__file__).parent
    shutil.copytree(source, top / "graft", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return top


def run(top: Path, demand: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "GRAFT_KERNEL"}
    environment["PYTHONPATH"] = str(top)
    if demand is not None:
        environment["GRAFT_KERNEL"] = demand
    return subprocess.run(
        [sys.executable, "-c", SAY],
        env=environment,
        cwd=top,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_kernel_in_use_and_its_name_agree() -> None:
    if native is None:
        assert NAME == "reference"
        assert Table is reference.Table
    else:
        assert NAME in [f"native {variant}" for variant in native.variants()]
        assert issubclass(Table, native.Table)


@pytest.mark.parametrize("demand", [None, "", "reference"])
def test_without_the_extension_the_reference_is_used(bare_copy: Path, demand: str | None) -> None:
    done = run(bare_copy, demand)
    assert (done.stdout, done.stderr) == ("reference False\n", "")


def test_a_demand_for_a_kernel_that_was_not_built_is_an_error(bare_copy: Path) -> None:
    done = run(bare_copy, "native")
    assert done.returncode != 0
    assert "KernelError: GRAFT_KERNEL demands the native kernel" in done.stderr
    assert "unset GRAFT_KERNEL" in done.stderr


@pytest.mark.parametrize("demand", ["Native", "avx2", "0", "reference:portable", ":portable"])
def test_a_demand_for_an_unknown_kernel_is_an_error(bare_copy: Path, demand: str) -> None:
    done = run(bare_copy, demand)
    assert done.returncode != 0
    assert f"KernelError: GRAFT_KERNEL is '{demand}'" in done.stderr


@pytest.mark.parametrize("demand", [None, "native"])
def test_an_extension_that_cannot_be_loaded_is_not_passed_over(
    bare_copy: Path, tmp_path: Path, demand: str | None
) -> None:
    shutil.copytree(bare_copy, tmp_path, dirs_exist_ok=True)
    (tmp_path / "graft/kernel/native/_native.abi3.so").write_bytes(b"no shared object")
    done = run(tmp_path, demand)
    assert done.returncode != 0
    assert "KernelError: the native kernel is there but cannot be loaded" in done.stderr
    assert run(tmp_path, "reference").stdout == "reference False\n"


def test_a_demand_for_the_native_kernel_is_met_where_it_is_built(
    native: type[reference.Table],
) -> None:
    del native
    top = Path(graft.errors.__file__).parent.parent
    assert run(top, "native").stdout.startswith("native ")
    assert run(top, "native").stdout.endswith(" True\n")
    assert run(top, "reference").stdout == "reference False\n"


def test_each_variant_that_runs_here_is_had_for_the_asking(
    native: type[reference.Table],
) -> None:
    del native
    module = load()
    assert module is not None
    variants = module.variants()
    assert variants[-1] == "portable"
    top = Path(graft.errors.__file__).parent.parent
    for variant in variants:
        assert run(top, f"native:{variant}").stdout == f"native {variant} True\n"
    assert run(top, "native").stdout == f"native {variants[0]} True\n"


def test_a_variant_that_does_not_run_here_is_an_error(native: type[reference.Table]) -> None:
    del native
    done = run(Path(graft.errors.__file__).parent.parent, "native:sse9")
    assert done.returncode != 0
    assert "KernelError: GRAFT_KERNEL demands the variant 'sse9', but this machine" in done.stderr


def test_the_native_table_refuses_what_would_endanger_memory(
    native: type[reference.Table],
) -> None:
    del native
    module = load()
    assert module is not None
    for pair in ((b"a" * 31, None), (b"a" * 32, b"b" * 33)):
        with pytest.raises(ValueError, match="lengths"):
            module.Table([pair], reference.Hit, "portable")
    for wrong in (b"a" * 32, (b"a" * 32,), ("a" * 32, None), (b"a" * 32, 1), None):
        with pytest.raises(TypeError):
            module.Table([wrong], reference.Hit, "portable")
    with pytest.raises(TypeError):
        module.Table(7, reference.Hit, "portable")
    with pytest.raises(TypeError, match="named tuple"):
        module.Table([], list, "portable")
    with pytest.raises(ValueError, match="the variant sse9 does not run here"):
        module.Table([], reference.Hit, "sse9")


def test_a_native_table_is_made_and_shown_like_the_reference(
    native: type[reference.Table],
) -> None:
    assert native.__name__ == reference.Table.__name__
    assert native.__doc__ == reference.Table.__doc__

"""Python runs this file first, in each process of a trial and in each child of the process.

GRAFT_MUTANT names a module, its file and a file with the module's text that has the fault.
COVERAGE_PROCESS_START names coverage's settings, as coverage's manual says.
"""

import os
import sys


class _Finder:
    """Finds one module, and loads the text that has the fault."""

    def __init__(self, module, file, faulty):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        self._module, self._file, self._faulty = module, file, faulty

    def find_spec(self, fullname, path, target=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
        if fullname != self._module:
            return None
        from importlib.machinery import SourceFileLoader  # noqa: PLC0415
        from importlib.util import spec_from_file_location  # noqa: PLC0415

        faulty, name = self._faulty, self._file

        class Loader(SourceFileLoader):
            def get_code(self, fullname):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
                with open(faulty, "rb") as stream:
                    return compile(stream.read(), name, "exec", dont_inherit=True)

        within = [os.path.dirname(name)] if name.endswith("__init__.py") else None
        return spec_from_file_location(
            fullname, name, loader=Loader(fullname, name), submodule_search_locations=within
        )


if _given := os.environ.get("GRAFT_MUTANT"):
    sys.meta_path.insert(0, _Finder(*_given.split("|")))  # type: ignore[no-untyped-call]
if "COVERAGE_PROCESS_START" in os.environ:
    import coverage

    coverage.process_startup()

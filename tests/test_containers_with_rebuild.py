"""What hides in containers, byte code, sums and code: the graft makes what the rebuild makes."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from tests import debpkgs_graft
from tests.debpkgs.built import small
from tests.debpkgs.contained import TOOLS
from tests.debpkgs.equality import Status
from tests.debpkgs.inside import EXPLAINED
from tests.debpkgs_graft import MARKS, Grafted

pytestmark = [*MARKS, pytest.mark.slow, pytest.mark.needs(*TOOLS)]

"""The asv suite. It runs on older versions as well, which are asked for public names.

asv imports the suite in a server and forks that for each benchmark. A process that was forked with fastkl in it never
uses Numba's threads, so `fastkl` is imported here when it is first used.

asv also installs one version after the other into the same place, and Numba's cache, which looks at the times of files,
would compile everything again each time. So every version has a cache of its own here, and its files one and the same
time.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # tables that tests and benchmarks share; last, so that fastkl is the installed one


def _keep_compiled_code(package: Path) -> None:
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.read_bytes())
        os.utime(path, (0, 0))
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(sys.prefix) / "numba" / digest.hexdigest()[:16]))


class _Later:
    """The module fastkl, which is imported when an attribute of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("fastkl"), name)


_found = importlib.util.find_spec("fastkl")
if _found and _found.origin and "site-packages" in _found.origin:  # and not the working tree, whose cache is in place
    _keep_compiled_code(Path(_found.origin).parent)

fastkl = _Later()

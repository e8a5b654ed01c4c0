"""SciPy's own installed tests, with fastkl's functions in the place of SciPy's: ``python -m tests.scipy_suite``.

The functions are exchanged after SciPy's tests were collected, so the tests themselves are untouched.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import fastkl

SUBSTITUTES = {
    "scipy.stats": ["entropy"],
    "scipy.special": ["rel_entr", "kl_div", "entr"],
    "scipy.spatial.distance": ["jensenshannon", "cdist", "pdist"],
}

SELECTED = {
    "scipy.stats.tests.test_entropy": "TestEntropy",
    "scipy.special.tests.test_basic": "test_entr or test_kl_div or test_rel_entr",
    "scipy.spatial.tests.test_distance": "jensenshannon",
}

LEFT_OUT: dict[str, str] = {}
"""Tests that are not run, each with its reason; there is none."""


def _or_of_scipy(ours: Callable[..., Any], theirs: Callable[..., Any], place: int) -> Callable[..., Any]:
    """A matrix of distances of fastkl for the metric that it has by SciPy's name, and else of SciPy."""

    @functools.wraps(theirs)
    def matrix(*args: Any, **kwargs: Any) -> Any:
        metric = kwargs.get("metric", args[place] if len(args) > place else "euclidean")
        return (ours if metric == "jensenshannon" else theirs)(*args, **kwargs)

    return matrix


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for place, names in SUBSTITUTES.items():
        module = importlib.import_module(place)
        for name in names:
            theirs, ours = getattr(module, name), getattr(fastkl, name)
            if name in ("cdist", "pdist"):
                ours = _or_of_scipy(ours, theirs, 2 if name == "cdist" else 1)
            for holder in {module, *(item.module for item in items if isinstance(item, pytest.Function))}:
                for attribute, value in list(vars(holder).items()):
                    if value is theirs:
                        setattr(holder, attribute, ours)
    distance = importlib.import_module("scipy.spatial.distance")
    # pdist and cdist look their Python metrics up in a table of their own
    for table, name in ((distance._METRICS, "jensenshannon"), (distance._TEST_METRICS, "test_jensenshannon")):
        table[name] = dataclasses.replace(table[name], dist_func=fastkl.jensenshannon)
    items[:] = [item for item in items if item.name not in LEFT_OUT]


def command(module: str) -> list[str]:
    """What runs the selected tests of *module*, without this project's own settings of pytest."""
    apart = ["-p", "tests.scipy_suite", "-p", "no:cacheprovider", "-c", os.devnull]
    return [sys.executable, "-m", "pytest", "-q", *apart, "-k", SELECTED[module], "--pyargs", module]


def main() -> int:
    return max(subprocess.run(command(module)).returncode for module in SELECTED)


if __name__ == "__main__":
    sys.exit(main())

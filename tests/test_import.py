"""The import of the package, which takes what it needs and no more."""

from tests.processes import run_python

HEAVY = {"scipy.special", "scipy.stats", "scipy.linalg", "scipy.optimize", "matplotlib", "pandas", "tqdm", "sklearn"}


def test_heavy_packages_are_imported_where_they_are_used():
    assert run_python(f"import sys, fastkl; print(*({HEAVY} & set(sys.modules)))").strip() == ""

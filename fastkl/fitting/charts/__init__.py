"""Charts, and the families that a fit searches, by name and by class."""

from __future__ import annotations

import math
from typing import Any, cast

from fastkl.densities import Mixture
from fastkl.families import FAMILIES, MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.families.univariate import Exponential, Univariate
from fastkl.fitting.charts.chart import Chart
from fastkl.fitting.charts.line import ExponentialChart, LineChart
from fastkl.fitting.charts.mixture import MixtureChart
from fastkl.fitting.charts.normal import NormalChart
from fastkl.validation import as_count, as_real, with_article

FITTED: dict[str, type[Any]] = {**FAMILIES, "multivariate_normal": MultivariateNormal, "mixture": Mixture}
"""The families of fits by name."""

COVARIANCE_TYPES = ("full", "diag", "spherical")


def family_of(family: Any) -> type[Any]:
    """The class of densities that *family*, a name or a class, stands for."""
    if isinstance(family, str):
        for name, known in FITTED.items():
            if family.lower().replace("_", "") == name.replace("_", ""):
                return known
    elif family in FITTED.values():
        return cast(type[Any], family)
    raise ValueError(f"family must be {', '.join(map(repr, FITTED))} or its class, got {family!r}")


def chart_of(
    family: type[Any],
    ndim: int,
    covariance_type: str,
    n_components: int | None,
    df: float | None,
    upper: float = -math.inf,
    in_cells: bool = False,
) -> Chart:
    """The chart in which a fit moves within a family, for a target of *ndim* dimensions, which ends at *upper*.

    *in_cells* says whether members count by their masses in cells.
    """
    if covariance_type not in COVARIANCE_TYPES:
        raise ValueError(f"covariance_type must be {', '.join(map(repr, COVARIANCE_TYPES))}, got {covariance_type!r}")
    if family is not MultivariateNormal and covariance_type != "full":
        raise ValueError(f"covariance_type={covariance_type!r} is for the family 'multivariate_normal'")
    if df is not None and not (issubclass(family, Univariate) and "df" in family._scores_of_held):
        raise ValueError(f"df={df!r} is for the family 'student_t'")
    if (n_components is None) == (family is Mixture):
        raise ValueError(f"n_components is for the family 'mixture', which needs it; got {n_components!r}")
    if n_components is not None:
        if as_count(n_components, "n_components") < 1:
            raise ValueError(f"n_components must be at least 1, got {n_components!r}")
        return MixtureChart(n_components, ndim, line=ndim == 1)
    if family is MultivariateNormal:
        return NormalChart(ndim, covariance_type)
    if ndim > 1:
        raise ValueError(
            f"{with_article(family.__name__)} is fitted to a density of one dimension, got one of {ndim}: "
            "take family='multivariate_normal'"
        )
    if family is Normal:
        return NormalChart(1, line=True)
    if df is not None and not as_real(df, "df") > 0.0:
        raise ValueError(f"df must be > 0, got {df!r}")
    held = {} if df is None else {"df": float(df)}
    return (ExponentialChart if issubclass(family, Exponential) else LineChart)(family, held, upper, in_cells)


__all__ = [
    "COVARIANCE_TYPES",
    "FITTED",
    "Chart",
    "ExponentialChart",
    "LineChart",
    "MixtureChart",
    "NormalChart",
    "chart_of",
    "family_of",
]

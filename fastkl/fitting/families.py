"""The families that a fit searches, by name and by class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from fastkl.densities import (
    Beta,
    Gamma,
    Laplace,
    Logistic,
    LogNormal,
    Mixture,
    MultivariateNormal,
    Normal,
    StudentT,
)
from fastkl.densities.families import FAMILIES as UNIVARIATE
from fastkl.fitting.charts import Chart, MixtureChart, NormalChart
from fastkl.fitting.univariate import (
    BetaChart,
    GammaChart,
    LaplaceChart,
    LogisticChart,
    LogNormalChart,
    StudentTChart,
    StudentTOfDfChart,
)
from fastkl.validation import as_count, as_real

FAMILIES: dict[str, Any] = {
    "normal": Normal,
    **UNIVARIATE,
    "multivariate_normal": MultivariateNormal,
    "mixture": Mixture,
}

LINE: dict[type[Any], Callable[[], Chart]] = {
    Normal: lambda: NormalChart(1, line=True),
    Laplace: LaplaceChart,
    Logistic: LogisticChart,
    StudentT: StudentTChart,
    Gamma: GammaChart,
    Beta: BetaChart,
    LogNormal: LogNormalChart,
}
"""Charts of the families of one dimension."""

COVARIANCE_TYPES = ("full", "diag", "spherical")


def family_of(family: Any) -> type[Any]:
    """The class of densities that *family*, a name or a class, stands for."""
    if isinstance(family, str):
        for name, known in FAMILIES.items():
            if family.lower().replace("_", "") == name.replace("_", ""):
                return cast(type[Any], known)
    elif family in FAMILIES.values():
        return cast(type[Any], family)
    raise ValueError(f"family must be {', '.join(map(repr, FAMILIES))} or its class, got {family!r}")


def chart_of(family: type[Any], ndim: int, covariance_type: str, n_components: int | None, df: float | None) -> Chart:
    """The chart in which a fit moves within a family, for a target of *ndim* dimensions."""
    if covariance_type not in COVARIANCE_TYPES:
        raise ValueError(f"covariance_type must be {', '.join(map(repr, COVARIANCE_TYPES))}, got {covariance_type!r}")
    if family is not MultivariateNormal and covariance_type != "full":
        raise ValueError(f"covariance_type={covariance_type!r} is for the family 'multivariate_normal'")
    if df is not None and family is not StudentT:
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
            f"a {family.__name__} is fitted to a density of one dimension, got one of {ndim}: "
            "take family='multivariate_normal'"
        )
    if df is not None:
        if not as_real(df, "df") > 0.0:
            raise ValueError(f"df must be > 0, got {df!r}")
        return StudentTOfDfChart(float(df))
    return LINE[family]()

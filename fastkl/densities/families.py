"""The table of the families on the line beside the Normal; code, tests, benchmarks and documentation read it."""

from __future__ import annotations

from collections.abc import Callable

from fastkl.densities.skewed import Beta, Gamma, LogNormal
from fastkl.densities.symmetric import Laplace, Logistic, StudentT
from fastkl.densities.univariate import Univariate

FAMILIES: dict[str, Callable[..., Univariate]] = {
    "laplace": Laplace,
    "logistic": Logistic,
    "student_t": StudentT,
    "gamma": Gamma,
    "beta": Beta,
    "log_normal": LogNormal,
}

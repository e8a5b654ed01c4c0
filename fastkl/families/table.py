"""The table of the families on the line: code, tests, benchmarks and documentation read it."""

from __future__ import annotations

from fastkl.families.beta import Beta
from fastkl.families.gamma import Gamma
from fastkl.families.generalized_pareto import GeneralizedPareto
from fastkl.families.gumbel import Gumbel
from fastkl.families.inverse_gamma import InverseGamma
from fastkl.families.laplace import Laplace
from fastkl.families.log_normal import LogNormal
from fastkl.families.logistic import Logistic
from fastkl.families.normal import Normal
from fastkl.families.student_t import StudentT
from fastkl.families.weibull import Weibull

__all__ = [  # noqa: RUF022  # in the order of the documentation
    "Normal",
    "Laplace",
    "Logistic",
    "Gumbel",
    "StudentT",
    "Gamma",
    "InverseGamma",
    "Beta",
    "LogNormal",
    "Weibull",
    "GeneralizedPareto",
]

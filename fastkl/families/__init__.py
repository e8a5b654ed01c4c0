"""Families of densities, one file each; `fastkl.families.univariate` says what a family declares."""

from __future__ import annotations

from fastkl.families import table
from fastkl.families.multivariate_normal import MultivariateNormal
from fastkl.families.univariate import FORMULAS, Exponential, Univariate

FAMILIES: dict[str, type[Univariate]] = {
    family._name(): family for family in (getattr(table, name) for name in table.__all__)
}
"""The families on the line by name."""

__all__ = ["FAMILIES", "FORMULAS", "Exponential", "MultivariateNormal", "Univariate"]

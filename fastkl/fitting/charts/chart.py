"""Charts: local coordinates in which a fit moves within a family.

A row of numbers, its *state*, stands for a member of the family; many states are moved at once. Coordinates are local:
they are 0 at the state itself, and a step of 1 means the same everywhere, a shift by one scale or a factor of e.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from fastkl.density import Density
from fastkl.validation import Floats


class Chart(ABC):
    """Local coordinates of a family, and the states that stand for its members."""

    family: type[Any]
    """The class of the members."""
    parameter_names: tuple[str, ...]
    """Names of the unconstrained parameters, one for each coordinate: the logarithm of a positive parameter."""
    ndim: int = 1
    support: tuple[float, float] = (-math.inf, math.inf)
    """Interval on which every member is positive, in one dimension."""
    is_correlated: bool = False
    """Whether the members may have correlations, so that they are spread in every direction."""
    is_regular_at_ends: bool = False
    """Whether every member is finite and positive at the ends of `support`."""
    is_zero_at_ends: bool = False
    """Whether every member is 0 at the finite ends of `support`."""
    kinked: bool = False
    """Whether the members have a kink, which gives a sum over nodes a kink wherever it meets a node."""

    @abstractmethod
    def state(self, q: Density) -> Floats:
        """The state of q: the row of numbers that stands for it."""

    @abstractmethod
    def density(self, state: Floats) -> Any:
        """The member of the family that a state stands for."""

    @abstractmethod
    def of_moments(self, mean: Floats, cov: Floats, direction: str = "forward") -> Floats | None:
        """The state of a member with about this mean and covariance; None if the family has no such member."""

    @abstractmethod
    def move(self, states: Floats, steps: Floats) -> Floats:
        """The states to which steps lead, one step from each of *states*."""

    @abstractmethod
    def places(self, states: Floats) -> Floats:
        """The place of each state, such as its mean or median, shape (n, ndim)."""

    @abstractmethod
    def scales(self, states: Floats) -> Floats:
        """The scales on which the members change along each axis, shape (n, ndim)."""

    def sizes(self, states: Floats) -> Floats:
        """The distances of places from 0 in the units of steps, shape (n, k), or (n, 1) if they do not matter."""
        return np.zeros((len(states), 1))

    def covers(self, states: Floats) -> Any:
        """Whether each member reaches up to where p ends, in a forward fit, shape (n,)."""
        return np.ones(len(states), bool)

    def limit(self, state: Floats) -> str:
        """Message about a state at which the family ends, as far as a fit can tell; empty for any other state."""
        return ""

    @abstractmethod
    def parameters_of_state(self, state: Floats) -> Floats:
        """The unconstrained parameters of a state."""

    @abstractmethod
    def state_of_parameters(self, parameters: Floats) -> Floats:
        """The state with these unconstrained parameters."""

    @abstractmethod
    def tangent(self, state: Floats) -> Floats:
        """The derivatives of the unconstrained parameters with respect to the local coordinates, shape (k, k)."""

    def bend(self, state: Floats, gradient: Floats) -> Floats:
        """The second derivatives of the unconstrained parameters, summed with a gradient as weights, shape (k, k)."""
        return np.zeros((gradient.size, gradient.size))

    def in_parameters(self, state: Floats, gradient: Floats, hessian: Floats) -> tuple[Floats, Floats]:
        """The gradient and the Hessian with respect to the parameters, from those by the local coordinates.

        The parameters are theta(state) + T step + (second order), with T the tangent.
        """
        try:
            back = np.linalg.inv(self.tangent(state))
        except np.linalg.LinAlgError:  # a scale has become 0
            return np.full_like(gradient, np.nan), np.full_like(hessian, np.nan)
        with np.errstate(over="ignore", invalid="ignore"):  # of scales below 1e-154
            slopes = np.asarray(gradient @ back, dtype=np.float64)
            bends = back.T @ (hessian - self.bend(state, slopes)) @ back
            return slopes, np.asarray(0.5 * (bends + bends.T), dtype=np.float64)

    @abstractmethod
    def apart(self, state: Floats, other: Floats) -> float:
        """The largest difference between two states in any coordinate."""

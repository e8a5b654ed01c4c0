"""The lattice of Normals with which a scan compares a table."""

import numpy as np
import pytest

from fastkl import Grid
from fastkl.fitting.lattice import NONE, RATIO, REACH, SPACING, lattice_of
from fastkl.kernels.row_fits import TOGETHER

AXES = {
    "even": Grid.uniform(-10, 10, 301)._line,
    "few": Grid.uniform(0, 1, 8)._line,
    "odd": Grid.uniform(-3, 5, 1023)._line,
    "geometric": Grid.from_axes(np.geomspace(1e-6, 1, 200))._line,
    "random": Grid.from_axes(np.sort(np.random.default_rng(3).uniform(-1, 1, 150)))._line,
    "cells": Grid.from_edges(np.linspace(0, 7, 90) ** 2)._line,
    "panels": Grid.gauss_legendre(0, 1, 64)._line,
}


@pytest.fixture(params=AXES, name="axis")
def _axis(request):
    return AXES[request.param]


def test_the_shares_of_a_member_sum_to_1_and_lie_within_its_reach(axis):
    lattice = lattice_of(axis)
    places = np.empty(lattice.levels[-1])
    places[: axis.n] = axis.all_nodes
    for begin, first, after in zip(lattice.levels[:-2], lattice.levels[1:-1], lattice.levels[2:], strict=True):
        own = places[begin:first] if (first - begin) % 2 == 0 else np.append(places[begin:first], places[first - 1])
        blends = lattice.blends[first - lattice.levels[1] : after - lattice.levels[1]]
        places[first:after] = own[::2] + blends * (own[1::2] - own[::2])
    for (loc, scale, _, _), (begin, size, at) in zip(lattice.normals, lattice.windows, strict=True):
        assert size % TOGETHER == 0
        shares = lattice.shares[at : at + size]
        assert shares.sum() == pytest.approx(1.0, abs=1e-13)
        filled = np.flatnonzero(shares)
        assert (np.abs(places[begin + filled] - loc) <= REACH * scale * (1.0 + 1e-12)).all()


def test_a_member_knows_its_mean_of_log_q_and_its_mass_outside():
    from scipy import stats

    axis = AXES["even"]
    for loc, scale, mean_log, outside in lattice_of(axis).normals[::17]:
        q = stats.norm(loc, scale)
        assert outside == pytest.approx(q.cdf(axis.lower) + q.sf(axis.upper), abs=1e-14)
        if outside < 1e-12:
            assert mean_log == pytest.approx(-q.entropy(), abs=2e-3)  # cut at 4.5 scales: 4.5**2 * 7e-6 and the rest


def test_neighbours_lie_beside_a_member_and_on_the_next_scales(axis):
    lattice = lattice_of(axis)
    normals = lattice.normals
    for k, (left, right, finer, coarser) in enumerate(lattice.neighbours):
        loc, scale = normals[k, :2]
        for other, side in ((left, -1.0), (right, 1.0)):
            if other != NONE:
                assert normals[other, 1] == scale
                assert normals[other, 0] - loc == pytest.approx(side * SPACING * scale)
        for other, ratio in ((finer, 1.0 / RATIO), (coarser, RATIO)):
            if other != NONE:
                assert normals[other, 1] == pytest.approx(ratio * scale)
                assert abs(normals[other, 0] - loc) <= scale


def test_an_even_axis_has_members_everywhere():
    axis, rng = AXES["even"], np.random.default_rng(0)
    locs, scales = lattice_of(axis).normals[:, :2].T
    for scale in np.exp(rng.uniform(np.log(1.5 * axis.step), np.log(10), 200)):
        room = 10.0 - 0.5 * SPACING * scale
        loc = rng.uniform(-room, room)
        apart = np.abs(locs - loc) / (0.5 * SPACING * RATIO**0.5 * scale)
        ratio = np.abs(np.log(scales / scale)) / (0.5 * np.log(RATIO))
        assert np.maximum(apart, ratio).min() <= 1.0 + 1e-9

"""Pictures of fits: what is in them, and that nothing is cut off."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from fastkl import Grid, Mixture, Normal, Tabulated, fit, plot_fits

pyplot = pytest.importorskip("matplotlib.pyplot")

GRID = Grid.uniform(-12, 12, 241)
TARGETS = {
    "reference": Mixture([Normal(-2, 0.6), Normal(2, 0.6)]),
    "one Normal": Normal(1, 1),
    "narrow beside wide": Mixture([Normal(-3, 0.3), Normal(2, 2)], [0.3, 0.7]),
    "table": Tabulated(GRID, -abs(GRID.axes[0]), log=True),
}


@pytest.fixture(autouse=True)
def _without_a_window():
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


@functools.cache
def _fits(target="reference", directions=("forward", "reverse")):
    return [fit(TARGETS[target], "normal", GRID, direction=direction) for direction in directions]


def _curves(ax):
    """The lines that hold points; a line that stands only in the legend has none."""
    return [line for line in ax.get_lines() if len(line.get_xdata())]


def _legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_two_fits_are_two_panels_of_one_figure():
    axes = plot_fits(*_fits())
    assert len(axes) == 2
    assert axes[0].figure.axes == axes
    assert pyplot.get_fignums() == [axes[0].figure.number]
    assert axes[0].get_ylim() == axes[1].get_ylim()  # so that heights can be compared


def test_each_panel_is_labelled():
    fits = _fits()
    forward, reverse = plot_fits(*fits)
    for ax, result in zip((forward, reverse), fits, strict=True):
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "density")
        assert result.direction in ax.get_title()
        assert f"{result.divergence:.4g}" in ax.get_title()
    assert "KL(p‖q)" in forward.get_title()
    assert "KL(q‖p)" in reverse.get_title()
    assert _legend(forward) == ["p", "q = N(0, 2.09)"]
    assert _legend(reverse) == ["p", "other minima", "q = N(-2, 0.605)"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_other_minimum_is_one_faint_curve(target):
    for result, ax in zip(_fits(target), plot_fits(*_fits(target)), strict=True):
        faint = [line for line in _curves(ax) if line.get_alpha() is not None and line.get_alpha() < 1]
        assert len(faint) == len(result.minima) - 1
        assert ("other minima" in _legend(ax)) == bool(faint)
        for line, minimum in zip(faint, result.minima[1:], strict=True):
            np.testing.assert_array_equal(line.get_ydata(), minimum.q.pdf(line.get_xdata()))


def test_the_reference_example_has_two_faint_minima():
    forward, reverse = plot_fits(*_fits())
    assert [len(_curves(ax)) for ax in (forward, reverse)] == [2, 4]  # p and q, and two more


@pytest.mark.parametrize("target", TARGETS)
def test_no_curve_is_cut_off_at_the_top(target):
    for ax in plot_fits(*_fits(target)):
        bottom, top = ax.get_ylim()
        assert bottom == 0.0
        assert top > max(line.get_ydata().max() for line in _curves(ax))


@pytest.mark.parametrize("target", TARGETS)
def test_no_curve_is_cut_off_at_the_sides(target):
    for ax in plot_fits(*_fits(target)):
        left, right = ax.get_xlim()
        for line in _curves(ax):
            x, y = line.get_data()
            # What lies outside is below the share of the peak, 1e-3, at which the picture ends.
            assert y[(x < left) | (x > right)].max(initial=0.0) <= 1e-3 * y.max()


@pytest.mark.parametrize("target", TARGETS)
def test_the_peak_of_a_curve_is_drawn(target):
    for result, ax in zip(_fits(target), plot_fits(*_fits(target)), strict=True):
        for line, density in ((_curves(ax)[0], result.p), (_curves(ax)[-1], result.q)):
            # The grid of 241 points against the 1501 of the picture: a peak between these is flat to 1 %.
            assert line.get_ydata().max() >= 0.99 * density.pdf(GRID.axes[0]).max()


@pytest.mark.parametrize("target", TARGETS)
def test_titles_and_legends_fit_into_the_figure(target):
    axes = plot_fits(*_fits(target))
    figure = axes[0].figure
    figure.canvas.draw()
    for ax in axes:
        for part in (ax.title, ax.get_legend(), ax.xaxis.label):
            box = part.get_window_extent()
            width, height = figure.bbox.size
            assert -1 <= box.x0 < box.x1 <= width + 1, part  # a pixel for rounding
            assert -1 <= box.y0 < box.y1 <= height + 1, part


def test_axes_that_are_given_are_drawn_into():
    figure, axes = pyplot.subplots(1, 2)
    assert plot_fits(*_fits(), ax=axes) == list(axes)
    assert pyplot.get_fignums() == [figure.number]
    assert [len(_curves(ax)) for ax in axes] == [2, 4]


def test_a_result_draws_itself():
    (result,) = _fits(directions=("reverse",))
    _, ax = pyplot.subplots()
    assert result.plot(ax) is ax
    alone = result.plot()
    assert alone.figure is not ax.figure
    assert len(_curves(alone)) == len(_curves(ax)) == 4


@pytest.mark.parametrize("n", [0, 1, 3])
def test_another_number_of_axes_is_refused(n):
    with pytest.raises(ValueError, match=rf"2 results need as many axes, got {n}"):
        plot_fits(*_fits(), ax=[pyplot.figure().add_subplot() for _ in range(n)])


def test_a_histogram_is_drawn_as_steps():
    p = Tabulated.from_histogram([1, 4, 6, 2], [0, 1, 2, 4, 5])
    (ax,) = plot_fits(fit(p, "normal", direction="forward"))
    filled, outline = ax.patches
    np.testing.assert_allclose(filled.get_data().values, p.values)
    np.testing.assert_array_equal(outline.get_data().edges, p.edges[0])
    assert ax.get_xlim() == (0.0, 5.0)
    plane = Tabulated.from_histogram([[1, 4, 2], [3, 8, 5]], [[0, 1, 2], [0, 1, 3, 4]])
    (ax,) = plot_fits(fit(plane, "multivariate_normal", direction="reverse", mass_tol=1))
    (mesh,) = [c for c in ax.collections if hasattr(c, "get_coordinates")]
    np.testing.assert_allclose(mesh.get_array().ravel(), plane.values.T.ravel())


def test_a_picture_takes_cells_with_ends():
    p = Tabulated.from_histogram([1, 4, 6, 2], [0, 1, 2, 4, np.inf])
    with pytest.raises(ValueError, match="a picture takes cells of finite width, but one reaches from 4 to inf"):
        plot_fits(fit(p, "normal", direction="forward"))

"""The same answers, types, shapes and errors as SciPy, wherever SciPy is right."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special
import scipy.stats

import fastkl
from fastkl.jit import JIT_DISABLED

NAN, INF = np.nan, np.inf

ENTROPY = fastkl.entropy, scipy.stats.entropy
DISTANCE = fastkl.jensenshannon, scipy.spatial.distance.jensenshannon

LARGE = pytest.mark.skipif(JIT_DISABLED, reason="a hundred thousand numbers take minutes without compiled code")


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns of divisions by 0
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError, IndexError) as error:
            return error


def assert_same(functions: tuple[Callable[..., Any], Callable[..., Any]], *args: Any, **kwargs: Any) -> None:
    ours, theirs = (outcome(function, *args, **kwargs) for function in functions)
    if isinstance(theirs, Exception):
        assert type(ours) is type(theirs), (ours, theirs)
        return
    assert np.shape(ours) == np.shape(theirs)
    assert np.asarray(ours).dtype == np.asarray(theirs).dtype
    assert np.isscalar(ours) == np.isscalar(theirs)
    # SciPy computes in the type of its input and cancels: its error is about its precision, times 10 for sums of
    # a hundred thousand terms, and the square root of a small distance divides it by that distance
    precision = max(np.finfo(a.dtype).eps if a.dtype.kind == "f" else 0.0 for a in map(np.asarray, args[:2]))
    atol = 10 * max(precision, np.finfo(np.float64).eps)
    rtol, atol = 100 * atol, 50 * atol if functions is DISTANCE else atol
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    "args",
    [
        ([],),
        ([], []),
        (np.zeros((0, 3)),),
        (np.zeros((3, 0)),),
        ([0, 0],),
        ([1, 2], [0, 0]),
        ([0, 0], [1, 2]),
        ([-1, 2],),
        ([-1, -2],),
        ([-1, 2], [1, 1]),
        ([-1, -2], [-1, -2]),
        ([1, 2], [1, -1.5]),
        (5.0,),
        ([1, 2], 3.0),
        ([1, 2], [1]),
        ([INF, 1],),
        ([INF, 1], [1, 1]),
        ([1, 1], [INF, 1]),
        ([NAN, 1],),
        ([NAN, 1], [1, 1]),
        ([1, 1], [0, 1]),
        ([0, 1], [0, 1]),
        ([1e308, 1e308], [1e308, 1e308]),
        ([1e-310, 2e-310], [1e-310, 1e-310]),
        ([1e-310, 2e-310],),
        ([1, 2], [1, 2, 3]),
        (np.ones((2, 3)), np.ones((4, 3))),
        (["a", "b"],),
        ([1j, 2],),
        (np.array([1, 2], object),),
        (np.array([1, 2], "g"),),
        (None,),
        ([1, 2], None, None, 0, "omit"),
        ([1, 2], None, 0),
        ([1, 2], None, -1.0),
        ([1, 2], None, 1),
        ([1, 2], None, NAN),
        ([1, 2], None, "e"),
        ([1, 2], None, 2, 1),
        ([1, 2], None, 2, 1.0),
        ([[1, 2], [3, 4]], None, 2, (0, 0)),
        ([[1, 2], [3, 4]], None, 2, (0, 1)),
        ([[1, 2], [3, 4]], [1, 2]),
        ([[1, 2], [3, 4]], [[1], [2]], None, 1),
        ([[1, 2], [3, 4]], [1, 2, 3, 4], None, None),
    ],
    ids=repr,
)
def test_entropy_of_special_input(args: tuple[Any, ...]) -> None:
    assert_same(ENTROPY, *args)


@pytest.mark.parametrize("policy", ["propagate", "omit", "raise", "drop"])
@pytest.mark.parametrize(
    "args",
    [
        ([NAN, NAN],),
        ([1, 2, NAN],),
        ([1, 2, NAN], [NAN, 1, 1]),
        ([[1, NAN], [2, NAN]],),
        ([[1, 2.0], [2, 3]],),
        ([[1, 0.0], [0, 0]], [[1, NAN], [3, 1]]),
        (np.ma.masked_array([1.0, 2, 3], [0, 1, 0]),),
        (np.ma.masked_array([[1.0, 2, 3], [1, 2, 3]], [[0, 1, 1], [0, 1, 0]]),),
        (np.ma.masked_array([1.0, 2, 3], [0, 1, 0]), np.ma.masked_array([1.0, 2, 3], [0, 0, 1])),
        (np.ma.masked_array([1.0, 2, 3], True),),
    ],
    ids=repr,
)
def test_entropy_of_nans_and_masks(args: tuple[Any, ...], policy: str) -> None:
    assert_same(ENTROPY, *args, nan_policy=policy)


@pytest.mark.parametrize(
    "args",
    [
        ([], []),
        ([0, 0], [1, 1]),
        ([1, -1.5], [2, 1]),
        ([1, INF], [1, 2]),
        ([1, NAN], [1, 2]),
        (5.0, 3.0),
        ([1, 2], 3),
        ([[1, 2], [3, 4]], [[2, 1]]),
        ([1, 2], [1, 2, 3]),
        (["a"], ["b"]),
        ([1j], [1]),
        ([1, 2], [2, 1], None, 0),
    ],
    ids=repr,
)
def test_jensenshannon_of_special_input(args: tuple[Any, ...]) -> None:
    assert_same(DISTANCE, *args)


@pytest.mark.parametrize("base", [0, -2.0])
def test_a_base_that_is_not_positive_is_an_error_for_a_distance_too(base: float) -> None:
    for function in (fastkl.jensenshannon, fastkl.jeffreys):
        with pytest.raises(ValueError, match=f"`base` must be a positive number or `None`, got {base}"):
            function([1, 2], [2, 1], base)


def test_a_sum_that_overflows_is_no_reason_for_a_wrong_answer() -> None:
    p, q = np.array([1.0, 2.0, 1.0]), np.array([1.0, 1.0, 2.0])
    assert fastkl.entropy(p * 8e307, q) == pytest.approx(fastkl.entropy(p, q), rel=1e-15)  # SciPy: 0
    assert fastkl.jensenshannon(p, q * 8e307) == pytest.approx(fastkl.jensenshannon(p, q), rel=1e-15)
    with pytest.raises(ValueError, match="count axis from the right, got 0"):
        fastkl.jensenshannon(np.ones((3, 5)), np.ones(5))
    with pytest.raises(ValueError, match="count axis from the right, got 1"):
        fastkl.jensenshannon(np.ones((3, 5)), np.ones(5), axis=1)


KINDS = ["f2", "f4", "f8", ">f8", "i1", "i4", "u8", "?"]


@pytest.mark.parametrize("axis", [0, 1, 2, -1, (0, 2), (2, 0), (0, 1, 2), None])
@pytest.mark.parametrize("keepdims", [False, True])
def test_every_axis_and_type(axis: Any, keepdims: bool) -> None:
    rng = np.random.default_rng(1)
    for kind in KINDS:
        p, q = (np.asarray(rng.random((4, 5, 6)) * 9 + 1).astype(kind) for _ in range(2))
        views = {"whole": (p, q), "reversed": (p[::2, ::-1, 1:], q[1::2, ::-1, 1:]), "transposed": (p.T, q.T)}
        for a, b in views.values():
            assert_same(ENTROPY, a, axis=axis, keepdims=keepdims)
            assert_same(ENTROPY, a, b, 2, axis=axis, keepdims=keepdims)
            if kind != "f2":  # SciPy's distances of half precision have two digits
                assert_same(DISTANCE, a, b, 2, axis=axis, keepdims=keepdims)


@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        (((300, 1, 7), (1, 40, 7)), 2),
        (((300, 1, 7), (1, 40, 7)), 0),
        (((5, 40_000), (5, 40_000)), 1),
        (((5, 40_000), (5, 40_000)), 0),
        (((40_000, 5), (5,)), -1),
        (((100_000, 3), (100_000, 3)), 0),
        (((200_000,), (200_000,)), 0),
        (((70, 80, 90), (1, 80, 1)), (0, 2)),
    ],
    ids=repr,
)
@LARGE
def test_large_arrays(shapes: Any, axis: Any) -> None:
    rng = np.random.default_rng(2)
    p, q = (rng.random(shape) for shape in shapes)
    p[p < 0.05] = 0.0
    assert_same(ENTROPY, p, q, axis=axis)
    assert_same(ENTROPY, p, axis=axis)
    assert_same(DISTANCE, p, q, axis=axis)
    assert_same(ENTROPY, p.astype("f4"), q.astype("f4"), axis=axis)


@LARGE
def test_rows_of_every_sort_beside_each_other() -> None:
    rng = np.random.default_rng(3)
    p, q = rng.random((30_000, 5)), rng.random((30_000, 5))
    p[::3], q[::7, 2], p[5, 3], p[8, 2], q[11, 1] = 0.0, 0.0, -1.0, INF, NAN
    q[17] *= 1e-310
    assert_same(ENTROPY, p, q, axis=1)
    assert_same(ENTROPY, p, axis=1)
    assert_same(DISTANCE, p, q, axis=1)
    assert_same(ENTROPY, p[:500], q[:500], axis=1, nan_policy="omit")


VALUES = np.array([0.0, 1.0, 2.5, -1.0, INF, -INF, NAN, 5e-324, 1e-310, 1e308, -0.0])


@pytest.mark.parametrize("name", ["rel_entr", "entr"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_special_values_of_elements(name: str, kind: str) -> None:
    ours, theirs = getattr(fastkl, name), getattr(scipy.special, name)
    with np.errstate(over="ignore"):
        x = VALUES.astype(kind)
    args = (x,) if name == "entr" else (x[:, None], x[None, :])
    np.testing.assert_allclose(ours(*args), theirs(*args), rtol=2e-7 if kind == "f4" else 1e-15)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (4.0, 2.2e-308, 2835.1761825716867),
        (1e-320, 1e308, 1e308),
        (INF, 1.0, INF),
        (1.0, INF, INF),
        (INF, INF, NAN),
        (0.0, INF, INF),
        (-1.0, 1.0, INF),
        (1.0, 0.0, INF),
        (0.0, 0.0, 0.0),
        (0.0, -0.0, 0.0),
        (-0.0, 2.0, 2.0),
        (0.0, 3.0, 3.0),
        (1.0, NAN, NAN),
        (1.0, 1 + 1e-9, 5.00000082407041e-19),  # (1 + 1e-9 is rounded: 82740370999e-31 too much)**2 / 2
    ],
)
def test_kl_div_where_scipy_is_wrong_or_not(x: float, y: float, expected: float) -> None:
    np.testing.assert_allclose(fastkl.kl_div(x, y), expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["rel_entr", "kl_div", "entr"])
@pytest.mark.parametrize("kind", [*KINDS, "i2", "u2", "i8", "g", "c16", "O", "U1"])
def test_types_of_elements(name: str, kind: str) -> None:
    ours, theirs = getattr(fastkl, name), getattr(scipy.special, name)
    args = (np.array([1, 1], kind),) * ours.nin
    mine, known = outcome(ours, *args), outcome(theirs, *args)
    if isinstance(known, Exception):
        assert type(mine) is type(known)
    else:
        assert mine.dtype == known.dtype


@pytest.mark.parametrize("size", [3, 100, pytest.param(200_000, marks=LARGE)])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_elements_into_an_array_and_where(size: int, kind: str) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.random(size).astype(kind), rng.random(size).astype(kind)
    x[::5] = 0.0
    rtol = 1e-6 if kind == "f4" else 1e-13
    for name in ("rel_entr", "kl_div", "entr"):
        ours, theirs = getattr(fastkl, name), getattr(scipy.special, name)
        args = (x, y)[: ours.nin]
        expected = theirs(*args)
        atol = np.finfo(kind).eps if name == "kl_div" else 0.0  # SciPy's differences cancel
        out = np.full_like(x, 7.0)
        assert ours(*args, out=out) is out
        np.testing.assert_allclose(out, expected, rtol=rtol, atol=atol)
        np.testing.assert_allclose(ours(*args), expected, rtol=rtol, atol=atol)
        assert ours(*args, out) is out
        np.testing.assert_allclose(ours(*(a[::-2] for a in args)), expected[::-2], rtol=rtol, atol=atol)
        masked = ours(*args, out=np.full_like(x, 7.0), where=x > 0.5)
        np.testing.assert_allclose(masked, np.where(x > 0.5, expected, 7.0), rtol=rtol, atol=atol)
        copies = [a.copy() for a in args]
        assert ours(*copies, out=copies[0]) is copies[0]
        np.testing.assert_allclose(copies[0], expected, rtol=rtol, atol=atol)
        shifted = np.concatenate([x, x[:1]])
        rest = (y,)[: ours.nin - 1]
        ours(shifted[:-1], *rest, out=shifted[1:])  # overlaps: NumPy makes a copy
        np.testing.assert_allclose(shifted[1:], expected, rtol=rtol, atol=atol)


def test_a_ufunc_has_what_ufuncs_have() -> None:
    assert fastkl.rel_entr.types == ["ff->f", "dd->d"]
    assert fastkl.kl_div.reduce([1.0, 2.0]) == pytest.approx(scipy.special.kl_div.reduce([1.0, 2.0]), rel=1e-14)
    assert fastkl.rel_entr.reduce([]) == fastkl.rel_entr.identity == 0.0
    assert str(inspect.signature(fastkl.entr)) == "(x, /, out=None, *, where=True, **kwargs)"
    assert repr(fastkl.entr) == "<fastkl ufunc 'entr'>"
    with pytest.raises(TypeError):
        fastkl.rel_entr(1.0)
    with pytest.raises(TypeError):
        fastkl.rel_entr(1.0, 2.0, 3.0, 4.0)
    with pytest.raises(ValueError, match="broadcast"):
        fastkl.rel_entr([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: fastkl.entropy([1, 2], [1, 2, 3]), r"\(2,\), \(3,\)"),
        (lambda: fastkl.entropy([1, 2], nan_policy="drop"), "'drop'"),
        (lambda: fastkl.entropy([1, NAN], nan_policy="raise"), "nan values"),
        (lambda: fastkl.entropy(["a", "b"]), "'a'"),
        (lambda: fastkl.entropy([1j, 2]), "1j"),
        (lambda: fastkl.entropy([1, 2], base=-3), "-3"),
        (lambda: fastkl.entropy([1, 2], weights=[1, -2]), "-2.0"),
        (lambda: fastkl.entropy([1, 2], weights=[1, INF]), "inf"),
        (lambda: fastkl.entropy([1, 2], weights=[[1, 2], [1, 2]]), r"\(2, 2\)"),
        (lambda: fastkl.entropy([1, 2], weights=[1, 2, 3]), r"\(3,\)"),
        (lambda: fastkl.entropy([1, 2], axis=1), "axis 1"),
        (lambda: fastkl.jensenshannon([1], [None]), "None"),
        (lambda: fastkl.jensenshannon([1, 2], [2, 1], [1, 1]), r"`base` must be .* an array of shape \(2,\)"),
        (lambda: fastkl.jensenshannon([1, 2], [2, 1], "e"), "'e'"),
        (lambda: fastkl.entropy(["1"]), "pk must be real numbers.*'1'"),
        (lambda: fastkl.entropy([1, 2], pseudocount=-0.5), "pseudocount must be finite and >= 0, got -0.5"),
        (lambda: fastkl.entropy([1, 2], pseudocount=NAN), "nan"),
        (lambda: fastkl.entropy([1, 2], pseudocount="1"), "pseudocount must be a real number, got '1'"),
        (lambda: fastkl.entropy([1, 2], pseudocount=1, log=True), "pseudocount=1 .* log=True"),
        (lambda: fastkl.entropy([1, 2], pseudocount=1, normalize=False), "pseudocount=1 .* normalize=False"),
        (lambda: fastkl.jeffreys([1, 2], [2, 1], pseudocount=1, weights=[1, 1]), "pseudocount=1 .* weights="),
    ],
)
def test_an_error_names_the_value(call: Callable[[], Any], named: str) -> None:
    with pytest.raises((ValueError, TypeError), match=named):
        call()


@pytest.mark.parametrize("kind", ["f4", "f8", "i8", "u1"])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_a_pseudocount_is_added_to_every_entry(kind: str, axis: Any) -> None:
    rng = np.random.default_rng(7)
    p, q = (rng.poisson(0.5, (30, 40)).astype(kind) for _ in range(2))
    for function in (fastkl.entropy, fastkl.jensenshannon, fastkl.jeffreys):
        result = function(p, q, axis=axis, pseudocount=0.5)
        expected = function(p.astype("f8") + 0.5, q.astype("f8") + 0.5, axis=axis)
        np.testing.assert_allclose(result, expected, rtol=3e-7 if kind == "f4" else 1e-13)
        assert np.isfinite(result).all()
    np.testing.assert_allclose(fastkl.entropy(p[0], pseudocount=2), fastkl.entropy(p[0].astype("f8") + 2), rtol=3e-7)


def test_masked_entries_get_no_pseudocount() -> None:
    p, q = np.ma.masked_array([1.0, 7.0, 0.0], [0, 1, 0]), np.array([1.0, 5.0, 2.0])
    expected = fastkl.entropy([1.5, 0.5], [1.5, 2.5])
    assert fastkl.entropy(p, q, pseudocount=0.5) == pytest.approx(expected, rel=1e-15)
    with_nan = np.array([1.0, NAN, 0.0])
    assert fastkl.entropy(with_nan, q, pseudocount=0.5, nan_policy="omit") == pytest.approx(expected, rel=1e-15)

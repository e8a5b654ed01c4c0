"""Arrays of other libraries, memory of every kind, and callers that are compiled themselves."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.special

import fastkl
from fastkl.jit import JIT_DISABLED

RNG = np.random.default_rng(14)
P, Q = RNG.random((20, 30)), RNG.random((20, 30))

needs_jit = pytest.mark.skipif(JIT_DISABLED, reason="needs compiled code")


@pytest.mark.parametrize("name", ["rel_entr", "kl_div", "entr"])
def test_elements_of_pandas_xarray_and_dask_come_back_as_their_own_type(name: str) -> None:
    pandas, xarray, dask = (pytest.importorskip(n) for n in ("pandas", "xarray", "dask.array"))
    ours, theirs = getattr(fastkl, name), getattr(scipy.special, name)
    makers = {
        "frame": lambda a: pandas.DataFrame(a, columns=[f"c{i}" for i in range(30)]),
        "series": lambda a: pandas.Series(a[0], name="s"),
        "xarray": lambda a: xarray.DataArray(a, dims=("x", "y")),
        "dask": lambda a: dask.from_array(a, chunks=(7, 11)),
        "masked": lambda a: np.ma.masked_array(a, a > 0.9),
    }
    for make in makers.values():
        args = [make(P), make(Q)][: ours.nin]
        mine, known = ours(*args), theirs(*args)
        assert type(mine) is type(known)
        np.testing.assert_allclose(np.asarray(mine), np.asarray(known), rtol=1e-12, atol=1e-15)


def test_reductions_work_under_apply_ufunc_and_on_frames() -> None:
    pandas, xarray = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    a, b = (xarray.DataArray(v, dims=("x", "y")) for v in (P, Q))
    for function in (fastkl.entropy, fastkl.jensenshannon):
        result = xarray.apply_ufunc(function, a, b, input_core_dims=[["y"], ["y"]], kwargs={"axis": -1})
        assert result.dims == ("x",)
        np.testing.assert_array_equal(result, function(P, Q, axis=1))
        np.testing.assert_array_equal(function(pandas.DataFrame(P), pandas.DataFrame(Q)), function(P, Q))
        assert function(pandas.Series(P[0]), pandas.Series(Q[0])) == function(P[0], Q[0])


class Sub(np.ndarray):
    """A subclass without a mind of its own."""


def unaligned(a: Any) -> Any:
    room = np.zeros(a.nbytes + 1, np.uint8)
    view = room[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def read_only(a: Any) -> Any:
    copy = a.copy()
    copy.flags.writeable = False
    return copy


def padded(a: Any) -> Any:
    """A field of records."""
    records = np.zeros(a.shape, [("gap", "i1"), ("value", "f8")])
    records["value"] = a
    return records["value"]


MEMORY = {
    "read-only": read_only,
    "byte-swapped": lambda a: a.astype(">f8"),
    "unaligned": unaligned,
    "a field of records": padded,
    "Fortran order": np.asfortranarray,
    "a subclass": lambda a: a.view(Sub),
    "lists": lambda a: a.tolist(),
    "reversed twice": lambda a: a[::-1].copy()[::-1],
}


@pytest.mark.parametrize("make", MEMORY.values(), ids=MEMORY)
def test_memory_of_every_kind_gives_the_same_answer(make: Any) -> None:
    before = P.copy(), Q.copy()
    for axis in (0, 1, None):
        for function in (fastkl.entropy, fastkl.jensenshannon, fastkl.jeffreys):
            expected = function(P, Q, axis=axis)
            np.testing.assert_allclose(function(make(P), make(Q), axis=axis), expected, rtol=1e-14)
    np.testing.assert_allclose(fastkl.rel_entr(make(P), make(Q)), fastkl.rel_entr(P, Q), rtol=1e-15)
    row = make(P[0]), make(Q[0])
    np.testing.assert_allclose(fastkl.entropy(*row), fastkl.entropy(P[0], Q[0]), rtol=1e-14)
    np.testing.assert_array_equal(before[0], P)
    np.testing.assert_array_equal(before[1], Q)


def test_a_mapped_file(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", P)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    np.testing.assert_array_equal(fastkl.entropy(mapped, Q, axis=1), fastkl.entropy(P, Q, axis=1))


def test_a_tensor_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not among the dependencies of the tests")
    p, q = torch.from_numpy(P), torch.from_numpy(Q)
    for function in (fastkl.entropy, fastkl.jensenshannon, fastkl.jeffreys):
        result = function(p, q)
        assert isinstance(result, torch.Tensor)
        np.testing.assert_array_equal(result.numpy(), function(P, Q))
    with pytest.raises(TypeError, match=r"p is a tensor that requires a gradient.*p.detach\(\)"):
        fastkl.jensenshannon(p.requires_grad_(), q)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_a_tensor_of_two_bytes_a_number_is_read_where_it_lies(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not among the dependencies of the tests")
    p, q = (torch.from_numpy(a).to(getattr(torch, name)) for a in (P, Q))
    for settings in ({}, {"log": True, "axis": -1}):
        result = fastkl.entropy(p, q, **settings)
        assert result.dtype == torch.float32
        np.testing.assert_allclose(result, fastkl.entropy(p.float(), q.float(), **settings), rtol=1e-6)


class Tensor:
    """A stand-in for torch's tensor, as far as it is asked."""

    def __init__(self, values: Any, *, requires_grad: bool = False, device: str = "cpu", dtype: str = "torch.float64"):
        self.values, self.requires_grad, self.dtype = values, requires_grad, dtype
        self.device = SimpleNamespace(type=device)

    def numpy(self) -> Any:
        return self.values


def test_a_tensor_is_read_where_it_lies_and_answered_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = SimpleNamespace(Tensor=Tensor, from_numpy=Tensor)
    monkeypatch.setitem(sys.modules, "torch", torch)
    result = fastkl.entropy(Tensor(P), Tensor(Q), axis=1)
    assert isinstance(result, Tensor)
    np.testing.assert_array_equal(result.numpy(), fastkl.entropy(P, Q, axis=1))
    assert isinstance(fastkl.entropy(Tensor(P[0])), Tensor)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)  # not installed
    for tensor, match in (
        (Tensor(P, requires_grad=True), r"pk is a tensor that requires a gradient.*pk.detach\(\)"),
        (Tensor(P, device="cuda"), r"computes on the CPU; pass pk.cpu\(\)"),
        (Tensor(P, dtype="torch.bfloat16"), r"pass pk.float\(\)"),
    ):
        with pytest.raises(TypeError, match=match):
            fastkl.entropy(tensor, Tensor(Q))


def test_an_array_of_jax_is_answered_by_one() -> None:
    jax = pytest.importorskip("jax", reason="JAX is not among the dependencies of the tests")
    p, q = (jax.numpy.asarray(a, dtype="float32") for a in (P, Q))
    for function in (fastkl.entropy, fastkl.jensenshannon, fastkl.jeffreys):
        result = function(p, q, axis=-1)
        assert isinstance(result, jax.Array)
        np.testing.assert_array_equal(np.asarray(result), function(np.asarray(p), np.asarray(q), axis=-1))


def test_bfloat16_is_taken_like_single_precision() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    p, q = (a.astype(ml_dtypes.bfloat16) for a in (P, Q))
    singles = p.astype(np.float32), q.astype(np.float32)
    for function in (fastkl.entropy, fastkl.jensenshannon, fastkl.jeffreys, fastkl.rel_entr, fastkl.kl_div):
        result = function(p, q)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, function(*singles), rtol=1e-7)
    for function in (fastkl.entropy, fastkl.entr):
        assert function(p).dtype == np.float32
        np.testing.assert_allclose(function(p), function(singles[0]), rtol=1e-7)


@pytest.mark.parametrize("name", ["entr", "rel_entr"])
def test_a_sparse_matrix_hears_of_its_dense_form(name: str) -> None:
    from scipy import sparse

    matrix = sparse.csr_matrix(np.eye(3))
    with pytest.raises(TypeError, match=r"sparse csr_matrix; pass .*\.toarray\(\)"):
        getattr(fastkl, name)(*(matrix,) * (1 if name == "entr" else 2))


@pytest.mark.parametrize("name", ["rel_entr", "kl_div", "entr", "log_ratio"])
def test_a_function_can_be_pickled(name: str) -> None:
    function = getattr(fastkl, name)
    assert pickle.loads(pickle.dumps(function)) is function


@needs_jit
@pytest.mark.parametrize("options", [{}, {"fastmath": True}, {"fastmath": True, "parallel": True}], ids=str)
def test_compiled_code_of_a_user_may_call_the_elements(options: dict[str, bool]) -> None:
    import numba

    rel_entr, kl_div, entr, log_ratio = fastkl.rel_entr, fastkl.kl_div, fastkl.entr, fastkl.log_ratio

    @numba.njit(**options)
    def scalars(x, y, out):
        for i in numba.prange(x.size):
            out[0, i], out[1, i] = rel_entr(x[i], y[i]), kl_div(x[i], y[i])
            out[2, i], out[3, i] = entr(x[i]), log_ratio(x[i], y[i])

    @numba.njit(**options)
    def arrays(x, y):
        return rel_entr(x, y), kl_div(x, y), entr(x), log_ratio(x, y)

    x = np.array([0.0, 1.0, 1.0, 2.0, np.inf, np.nan, -1.0, np.inf])
    y = np.array([0.0, 0.0, 3.0, 2.0, 1.0, 1.0, 1.0, np.inf])
    expected = np.array([rel_entr(x, y), kl_div(x, y), entr(x), log_ratio(x, y)])
    out = np.empty((4, x.size))
    with np.errstate(all="ignore"):
        scalars(x, y, out)
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(np.array(arrays(x, y)), expected)

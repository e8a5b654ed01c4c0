"""Room for kernels: where it lies, and that it is all theirs."""

import numpy as np
import pytest

from fastkl.jit import JIT_DISABLED, buffer, buffers, tiled


@tiled(outputs=3)
def _use(partial, start, stop, size, kept):
    """Places of two buffers, and a sum over both, the first of which was filled first."""
    first, rows = buffer(size), buffers(3, size)
    first[:] = 1.0
    rows[:] = 2.0
    partial[0], partial[1] = first.ctypes.data % 64, rows.ctypes.data % 64
    kept[:size], kept[size : 2 * size] = first, rows[2]
    partial[2] = first.sum() + rows.sum() + rows.shape[0]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 1000])
def test_buffers_are_apart_and_keep_what_is_written(size):
    kept = np.empty(2 * size)
    total = _use.total(1, size, kept)[2]
    assert total == 7 * size + 3
    np.testing.assert_array_equal(kept, np.repeat([1.0, 2.0], size))


@pytest.mark.skipif(JIT_DISABLED, reason="without the JIT the room is NumPy's")
@pytest.mark.parametrize("before", range(12))
def test_buffers_begin_with_a_line_of_the_cache(before):
    others = [np.empty(3 + 2 * k) for k in range(before)]  # other blocks of memory in between
    assert _use.total(1, 100 + before, np.empty(2 * (100 + before)))[:2].tolist() == [0.0, 0.0], len(others)

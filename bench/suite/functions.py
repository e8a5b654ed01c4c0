"""Every function of arrays, of every size and type, on one and two threads, on data as people have them."""

from __future__ import annotations

import numba
import numpy as np

from bench.cases import CASES, COUNTS, DATA, DENSE, FUNCTIONS, TAILS, ZEROS, Array

from .strata import is_asked


class _Timed:
    """A few short samples, since there are many rows."""

    rounds, repeat, warmup_time, timeout = 1, (2, 5, 0.5), 0.05, 120
    call = None

    def time_call(self, *settings):
        self.call()


class Vectors(_Timed):
    """Two arrays whose numbers lie side by side."""

    params = (FUNCTIONS, (DENSE, ZEROS, COUNTS, TAILS), ("f8", "f4"), (2**10, 2**16, 10**6), (1, 2))
    param_names = ("function", "data", "type", "numbers", "threads")

    def setup(self, function, data, kind, numbers, threads):
        if not is_asked(function, DATA[data]):
            raise NotImplementedError(f"{function} of {data} is infinite")
        if threads > numba.config.NUMBA_NUM_THREADS:
            raise NotImplementedError(f"{threads} threads are more than there are here")
        numba.set_num_threads(threads)
        self.call = Array(function, data, kind).make(numbers)
        self.call()


class Axes(_Timed):
    """The functions along each axis of a matrix of 2^18 numbers."""

    params = (FUNCTIONS[:3], ("f8", "f4"), (64, 300, 4096), (0, 1))
    param_names = ("function", "type", "length", "axis")

    def setup(self, function, kind, length, axis):
        numba.set_num_threads(1)
        self.call = Array(function, DENSE, kind, row=length, axis=axis).make(2**18)
        self.call()


class Peak:
    """The memory that a process takes for a case of four million numbers or points."""

    params = (tuple(CASES),)
    param_names = ("case",)
    timeout = 300

    def peakmem_case(self, case):
        call = CASES[case].make(2**22)
        assert np.all(np.isfinite(np.asarray(getattr(found := call(), "divergence", found))))

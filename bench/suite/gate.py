"""The named list of work that the gate compares between two versions (`python -m bench.regress`)."""

from __future__ import annotations

import time

import numba
import numpy as np

from bench.cases import CASES, MISSING

NOMINAL = 60e-6
"""Seconds that `reference` counts for, whatever it takes."""


@numba.njit(error_model="numpy", fastmath={"reassoc"})
def reference(x, y):
    """Divisions and multiplications like those of the kernels, on numbers in the first cache."""
    total = 0.0
    for _ in range(250):
        for i in range(x.size):
            s = (x[i] - y[i]) / (x[i] + y[i])
            z = s * s
            total += s * (1.0 + z * (0.33 + z * (0.2 + z * (0.14 + z * (0.11 + z * 0.09)))))
    return total


NUMBERS = np.random.default_rng(0).random((2, 1000))
reference(*NUMBERS)  # in asv's server, once for all the processes that it forks


class Clock:
    """Seconds, as they would be if the reference took its nominal time.

    A shared machine is a fifth slower now and then, for a second or so, whatever it computes. The reference before
    and after each sample is as well, and only the ratio is kept. asv reads the clock once before a sample and once
    after it.
    """

    def __init__(self) -> None:
        self.began: float | None = None
        self.before = 0.0

    def __call__(self) -> float:
        if self.began is None:
            self.before = self.seconds_of_reference()
            self.began = time.perf_counter()
            return 0.0
        elapsed = time.perf_counter() - self.began
        self.began = None
        return elapsed * NOMINAL / (0.5 * (self.before + self.seconds_of_reference()))

    def seconds_of_reference(self) -> float:
        began = time.perf_counter()
        reference(*NUMBERS)
        return time.perf_counter() - began


class Cases:
    """Samples of some milliseconds, of which the rounds of asv take a fixed number each."""

    params = (tuple(CASES),)
    param_names = ("case",)
    number, repeat, rounds, warmup_time, timeout = 1, 30, 9, 0.02, 120
    timer = Clock()
    call = None

    def setup(self, name):
        if self.call is None:  # asv sets up before every sample
            numba.set_num_threads(min(CASES[name].threads, numba.config.NUMBA_NUM_THREADS))
            try:
                self.call = CASES[name].prepare()
                self.call()
            except MISSING as reason:
                raise NotImplementedError(f"this version does not have it: {reason}") from None

    def time_case(self, name):
        self.call()

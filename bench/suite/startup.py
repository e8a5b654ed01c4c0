"""What a new process pays: the import, and the first fit with a cold and with a warm cache.

asv runs the returned code in a fresh interpreter for every sample.
"""

FIRST_FITS = """
import fastkl
p = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])
grid = fastkl.Grid.uniform(-20, 20, 10_000)
for direction in ("forward", "reverse"):
    fastkl.fit(p, fastkl.Normal, grid, direction=direction)
"""


class Import:
    def timeraw_numba_and_numpy(self):
        return "import numba, numpy"

    def timeraw_fastkl_after_numba_and_numpy(self):
        return "import fastkl", "import numba, numpy"


class FirstCall:
    number, repeat = 1, 5
    timeout = 300

    def setup(self):
        exec(FIRST_FITS)  # fills the cache that the warm one reads

    def timeraw_cold_cache(self):
        empty = "import os, tempfile; os.environ['NUMBA_CACHE_DIR'] = tempfile.mkdtemp()"
        return FIRST_FITS, empty

    def timeraw_warm_cache(self):
        return FIRST_FITS

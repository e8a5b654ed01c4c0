"""Both fits of the reference example."""

import fastkl

P = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])


class Fit:
    params = (("forward", "reverse"), (10_000, 1_000_000))
    param_names = ("direction", "points")

    def setup(self, direction, n):
        self.grid = fastkl.Grid.uniform(-20, 20, n)
        self.fit(direction)

    def fit(self, direction):
        return fastkl.fit(P, fastkl.Normal, self.grid, direction=direction)

    def time_fit(self, direction, n):
        self.fit(direction)

"""Grids of one axis."""

import pytest

from tests.kernels.cases import GRIDS


@pytest.fixture(params=GRIDS.values(), ids=GRIDS.keys())
def grid(request):
    return request.param

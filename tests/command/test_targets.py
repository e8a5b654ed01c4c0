"""What the command line takes as a target: a formula, or a column of observations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastkl import Mixture, Normal, Tabulated
from fastkl.jit import JIT_DISABLED
from fastkl.targets import parse_target

IRIS = Path(__file__).parents[2] / "examples" / "iris_petal_length.csv"

FORMULAS = {
    "one Normal": ("N(0,1)", Normal(0, 1)),
    "weight 1": ("1*N(0,1)", Normal(0, 1)),
    "spaces": ("  N( 0 ,\t1 )\n", Normal(0, 1)),
    "signs": ("N(-2,+0.6)", Normal(-2, 0.6)),
    "no digit before or after the point": ("N(-.5,2.)", Normal(-0.5, 2)),
    "exponents": ("N(-1.5e+2,25E-1)", Normal(-150, 2.5)),
    "reference": ("0.5*N(-2,0.6) + 0.5*N(2,0.6)", Mixture([Normal(-2, 0.6), Normal(2, 0.6)])),
    "no spaces": ("0.5*N(-2,0.6)+0.5*N(2,0.6)", Mixture([Normal(-2, 0.6), Normal(2, 0.6)])),
    "weights": ("+.25 * N(0,1) + 7.5e-1*N(1,2)", Mixture([Normal(0, 1), Normal(1, 2)], [0.25, 0.75])),
    "weight 0": ("0*N(0,1) + N(3,1)", Mixture([Normal(0, 1), Normal(3, 1)], [0, 1])),
    "three": ("0.2*N(0,1)+0.3*N(1,1)+0.5*N(2,1)", Mixture([Normal(i, 1) for i in range(3)], [0.2, 0.3, 0.5])),
}


@pytest.mark.parametrize(("text", "density"), FORMULAS.values(), ids=FORMULAS)
def test_a_formula_is_read_exactly(text, density):
    assert parse_target(text) == density


MALFORMED = {
    "nothing": ("", "position 0", "''"),
    "not closed": ("N(0,1", "position 0", "'N(0,1'"),
    "semicolon": ("N(0;1)", "position 0", "'N(0;1)'"),
    "lower case": ("n(0,1)", "position 0", "'n(0,1)'"),
    "not a number": ("N(nan,1)", "position 0", "'N(nan,1)'"),
    "three parameters": ("N(0,1,2)", "position 0", "'N(0,1,2)'"),
    "star missing": ("0.5N(0,1)", "position 0", "'0.5N(0,1)'"),
    "second term": ("0.5*N(0,1)+0.5*M(1,1)", "position 11", "'0.5*M(1,1)'"),
    "ends with plus": ("0.5*N(0,1)+", "position 11", "''"),
    "minus": ("1.5*N(0,1) - 0.5*N(1,1)", "position 11", "'-'", "'+'"),
    "something behind": ("N(0,1)x", "position 6", "'x'", "'+'"),
    "zero scale": ("N(0,0)", "scale", "> 0", "0.0"),
    "negative scale": ("0.5*N(0,1)+0.5*N(0,-0.5)", "scale", "> 0", "-0.5"),
    "overflow": ("N(0,1e400)", "scale", "finite", "inf"),
    "weights sum to 0.9": ("0.5*N(0,1)+0.4*N(1,1)", "sum to 1", "0.9"),
    "weights left out": ("N(0,1)+N(1,1)", "sum to 1", "2.0"),
    "weight of one Normal": ("0.5*N(0,1)", "sum to 1", "0.5"),
    "negative weight": ("-0.5*N(0,1)+1.5*N(1,1)", "weights", ">= 0", "-0.5"),
}


@pytest.mark.parametrize(("text", "words"), [(t, w) for t, *w in MALFORMED.values()], ids=MALFORMED)
def test_an_error_in_a_formula_names_the_place_and_the_value(text, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are the match
        parse_target(text)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("text", ["data.doc", "density.json", "normal", "/no/such/file"])
def test_text_that_is_neither_is_told_all_that_is_accepted(text):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        parse_target(text)
    assert all(word in str(error.value) for word in (repr(text), "0.5*N(-2,0.6)", ".npz", ".csv"))


@pytest.mark.parametrize("bandwidth", ["scott", "silverman", 0.5])
def test_a_column_of_observations_is_estimated_as_from_samples_does(tmp_path, bandwidth):
    path = tmp_path / "data.csv"
    path.write_text("name,v\na,1\nb,2.5\n\nc,-4e-1\n")
    density = parse_target(str(path), samples="v", bandwidth=bandwidth)
    assert density.values.tolist() == Tabulated.from_samples([1, 2.5, -0.4], bandwidth=bandwidth).values.tolist()


@pytest.mark.skipif(JIT_DISABLED, reason="2049 nodes times 86 bins take half a minute in plain Python")
def test_the_example_file_keeps_its_moments():
    density = parse_target(str(IRIS), samples="petal_length", bandwidth=0.25)
    x = np.loadtxt(IRIS, delimiter=",", skiprows=1, usecols=0)
    assert density.mean == pytest.approx(x.mean(), abs=1e-9)  # linear binning keeps the mean; 1e-9 is for rounding
    excess = density.std**2 - x.var() - 0.25**2
    # splitting a point between bins a 64th of a bandwidth apart adds up to step**2 / 4, of which 1 / 6 is taken back
    assert -((0.25 / 64) ** 2) / 6 - 1e-9 < excess < (0.25 / 64) ** 2 / 12 + 1e-9


@pytest.mark.parametrize(
    ("name", "samples"), [("no.npz", None), ("no.csv", None), ("no.csv", "v"), ("no.txt", "v"), ("no.txt", None)]
)
def test_a_missing_file_is_an_oserror(tmp_path, name, samples):
    with pytest.raises(FileNotFoundError, match=name):
        parse_target(str(tmp_path / name), samples=samples)


BAD_SAMPLES = {
    "no such column": ("v,w\n1,2\n", {"samples": "z"}, "'z'", "v, w"),
    "a word": ("v\n1\nb\n", {"samples": "v"}, "line 3", "'b'"),
    "quote in another column": ('v,name\n1,a\n2,"b\n3,c\n4,d\n', {"samples": "v"}, "line "),
    "NaN": ("v\n1\nnan\n3\n", {"samples": "v"}, "line 3", "NaN", "1 of 3 rows", "--drop-nan"),
    "infinite": ("v\n1\n\n-inf\n3\n", {"samples": "v"}, "line 4", "finite", "-inf"),
    "one observation": ("v\n1\n", {"samples": "v"}, "at least 2", "got 1"),
    "all the same": ("v\n1.5\n1.5\n1.5\n", {"samples": "v"}, "vary", "are 1.5"),
    "bandwidth rule": ("v\n1\n2\n", {"samples": "v", "bandwidth": "foo"}, "'foo'", "'scott'", "'silverman'"),
    "bandwidth": ("v\n1\n2\n", {"samples": "v", "bandwidth": -1.0}, "> 0", "-1.0"),
}


@pytest.mark.parametrize(
    ("text", "options", "words"), [(t, o, w) for t, o, *w in BAD_SAMPLES.values()], ids=BAD_SAMPLES
)
def test_an_error_in_observations_names_the_value(tmp_path, text, options, words):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        parse_target(str(path), **options)
    assert all(word in str(error.value) for word in words), str(error.value)

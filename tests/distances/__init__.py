"""Tests of the matrices of divergences."""

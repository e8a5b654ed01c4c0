"""Kernels: arrays and numbers in, numbers or filled arrays out.

They validate nothing and protect nobody; the edge has done that.
"""

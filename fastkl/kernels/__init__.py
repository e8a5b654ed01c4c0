"""Kernels: arrays and numbers in, numbers or filled arrays out.

Kernels validate nothing: the Python layer has done that.
"""

"""Tevalis online ordering: calculate, submit, cancel. Pages: api.tevalis.com/Help."""

"""Pretend points of sale: each written from its vendor's pages alone, so that a misreading shows on one side only."""

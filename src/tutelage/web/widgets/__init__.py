"""Pieces of pages that have a state of their own."""

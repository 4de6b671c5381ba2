"""Attacks on the pages, each of which can be seen to succeed where what stops it is taken away."""

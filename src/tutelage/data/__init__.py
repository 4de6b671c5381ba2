"""Rows of any format to records, what is shipped, checks, splits, and the token contract. No models."""

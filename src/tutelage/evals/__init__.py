"""Evaluation: items, answers, scorers. Answers are made once and can be scored again without a model."""

"""Metrics: pure functions of predictions and references that return, per sample, what sums to the metric."""

"""Measuring: samples and what is told of them, and what processes take."""

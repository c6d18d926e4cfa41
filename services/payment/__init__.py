"""Payments: money of orders is held, taken and given back, each exactly once."""

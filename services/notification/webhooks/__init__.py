"""Webhooks: telling addresses outside of orders, signed, at least once, and never an address inside."""

"""Events between services: published out of the outbox, handled once, set aside when they cannot be handled."""

from mesh.bus.subscriptions import Received, Subscription, on, on_batch

__all__ = ["Received", "Subscription", "on", "on_batch"]

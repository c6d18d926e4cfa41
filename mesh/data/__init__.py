"""The database side of a service: transactions, outbox, inbox, idempotency, event store, migrations."""

from mesh.data.connections import Limits
from mesh.data.database import CommitUnknown, Database
from mesh.data.idempotency import KeyTaken
from mesh.data.transaction import Transaction

__all__ = ["CommitUnknown", "Database", "KeyTaken", "Limits", "Transaction"]

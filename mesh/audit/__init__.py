"""What must hold in a running system: the invariants, and how each service tells what it has of them.

A service's `audit.py` reads its own database and gives facts; the mesh adds those about the tables that every service
has; the command line compares the facts of all. Facts cross, code does not: see decision 025.
"""

from mesh.audit.facts import Account, Book, Facts, Finding, Scope
from mesh.audit.invariants import INVARIANTS, Invariant

__all__ = ["INVARIANTS", "Account", "Book", "Facts", "Finding", "Invariant", "Scope"]

"""What a database error means for the one who called: try again, somebody was faster, or not reachable."""

from datetime import timedelta
from enum import Enum
from typing import Final, assert_never

import psycopg
from sqlalchemy import exc

from mesh.errors import Aborted, MeshError, ResourceExhausted, Unavailable

RETRY_SOON: Final = timedelta(milliseconds=100)
RETRY_LATER: Final = timedelta(seconds=1)


class Failure(Enum):
    """Kinds of database failure, by what helps against them."""

    CONFLICT = "two transactions collided and this one lost: repeat it at once"
    LOCKED = "another transaction held a row for too long"
    SLOW = "a statement or a transaction took longer than it may"
    BUSY = "no connection was free"
    LOST = "the server is not reachable, restarting or has closed the connection"
    OTHER = "the statement or the data is at fault"


class DatabaseUnavailable(Unavailable):
    """The database is not reachable. No fault of the work: it can be done when the database is back."""


class DatabaseBusy(ResourceExhausted):
    """No connection was free in time. No fault of the work either."""


# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_STATE: Final = {
    "40001": Failure.CONFLICT,  # serialization_failure
    "40P01": Failure.CONFLICT,  # deadlock_detected
    "55P03": Failure.LOCKED,  # lock_not_available: lock_timeout
    "57014": Failure.SLOW,  # query_canceled: statement_timeout
    "25P03": Failure.LOST,  # idle_in_transaction_session_timeout: the session is gone
    "25P04": Failure.LOST,  # transaction_timeout: likewise
    "25006": Failure.LOST,  # read_only_sql_transaction: this server is no longer the primary
    "53300": Failure.BUSY,  # too_many_connections
    "53100": Failure.LOST,  # disk_full
    "53200": Failure.LOST,  # out_of_memory
    "57P01": Failure.LOST,  # admin_shutdown
    "57P02": Failure.LOST,  # crash_shutdown
    "57P03": Failure.LOST,  # cannot_connect_now
    "57P05": Failure.LOST,  # idle_session_timeout
}


def classify(error: BaseException) -> Failure | None:
    """What kind of failure an error is; None if it does not come from the database."""
    match error:
        case exc.TimeoutError():
            return Failure.BUSY
        case exc.DBAPIError(connection_invalidated=True):
            return Failure.LOST
        case exc.DBAPIError(orig=psycopg.Error() as cause):
            return _classify_driver(cause)
        case psycopg.Error():
            return _classify_driver(error)
        case exc.SQLAlchemyError():
            return Failure.OTHER
        case _:
            return None


def _classify_driver(error: psycopg.Error) -> Failure:
    if error.sqlstate is None:
        # libpq itself reports: no connection, or a broken one. Everything else carries the server's state.
        return Failure.LOST if isinstance(error, psycopg.OperationalError) else Failure.OTHER
    if error.sqlstate.startswith("08"):  # connection_exception
        return Failure.LOST
    return _BY_STATE.get(error.sqlstate, Failure.OTHER)


def visible(failure: Failure) -> MeshError | None:
    """The error a caller may see of a failure; None where it is a fault of ours and the original must surface."""
    match failure:
        case Failure.CONFLICT | Failure.LOCKED:
            return Aborted(
                "CONCURRENT_CHANGE", "another change of the same thing was under way", retry_after=RETRY_SOON
            )
        case Failure.SLOW:
            return Unavailable(
                "DEPENDENCY_UNAVAILABLE",
                "the database took too long",
                metadata={"dependency": "database"},
                retry_after=RETRY_LATER,
            )
        case Failure.BUSY:
            return DatabaseBusy("OVERLOADED", "no database connection is free", retry_after=RETRY_LATER)
        case Failure.LOST:
            return DatabaseUnavailable(
                "DEPENDENCY_UNAVAILABLE",
                "the database is not reachable",
                metadata={"dependency": "database"},
                retry_after=RETRY_LATER,
            )
        case Failure.OTHER:
            return None
        case _:
            assert_never(failure)

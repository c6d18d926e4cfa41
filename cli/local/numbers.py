"""The tuning of a shop: read once, the same for its edge, its sidecars and its services."""

from cli.failures import Failure
from cli.local.settings import LocalSettings
from mesh.policy import load_policy
from mesh.tuning import Tuning, TuningError, load_tuning


def read_tuning(settings: LocalSettings) -> Tuning:
    """Return the numbers that ZOCO_TUNING names; the committed ones unless it is set.

    Raises:
        Failure: there is no such file, it breaks a rule, or it has no number for a limit of a contract.
    """
    path = settings.tuning
    try:
        tuning = load_tuning(path)
        for method in load_policy().methods.values():
            for limit in method.rate_limits:
                tuning.rate(limit, settings.env)
    except TuningError as broken:
        *rest, last = str(broken).splitlines()
        raise Failure(f"The tuning cannot be used: {last}.", details=tuple(rest)) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise Failure(f"ZOCO_TUNING cannot be used: {path}: {reason}.") from None
    return tuning

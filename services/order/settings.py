"""What order is told at start, beyond what every service is."""

from datetime import timedelta

from pydantic import Field

from mesh.settings import MeshSettings


class OrderSettings(MeshSettings):
    """Settings of order."""

    answer_within: timedelta = Field(timedelta(seconds=1.5), validation_alias="ZOCO_ORDER_ANSWER_WITHIN")
    """How long a call waits for an order to be decided before it answers with the order as it stands."""

    lease: timedelta = Field(timedelta(seconds=5), gt=timedelta(), validation_alias="ZOCO_ORDER_LEASE")
    """How long an order stays with a process that gives no sign of life: after a crash nobody drives it for so long."""

    poll: timedelta = Field(timedelta(seconds=0.5), gt=timedelta(), validation_alias="ZOCO_ORDER_POLL")
    """How often a process looks for orders that are due."""

    patience: timedelta = Field(timedelta(minutes=10), gt=timedelta(), validation_alias="ZOCO_ORDER_PATIENCE")
    """How long a checkout may take before the capture; then it is given up."""

    back_off_first: timedelta = Field(
        timedelta(seconds=0.5), gt=timedelta(), validation_alias="ZOCO_ORDER_BACK_OFF_FIRST"
    )
    """How long to wait, at most, before a step is asked for the second time; doubles with each."""

    back_off_most: timedelta = Field(timedelta(seconds=60), gt=timedelta(), validation_alias="ZOCO_ORDER_BACK_OFF_MOST")
    """Where the doubling ends."""

    set_aside: timedelta = Field(timedelta(minutes=5), gt=timedelta(), validation_alias="ZOCO_ORDER_SET_ASIDE")
    """How long an order whose history this process cannot read is left alone; then newer code may be there."""

    at_once: int = Field(32, ge=1, le=1000, validation_alias="ZOCO_ORDER_AT_ONCE")
    """How many due orders a process drives at the same time."""

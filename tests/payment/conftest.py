"""A payment service that runs in the test's process, and Stripe by stripe-mock."""

from collections.abc import AsyncIterator, Iterator

import pytest

from services.payment.__main__ import build
from services.payment.settings import PaymentSettings
from tests.harness import Harness, ServiceUnderTest
from tests.payment.given import SECRET, Looking, Order
from tests.payment.stripe_servers import RememberingStripe, running_stripe_mock


@pytest.fixture(scope="session")
def stripe_mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real stripe-mock's address."""
    with running_stripe_mock(tmp_path_factory.mktemp("stripe") / "stripe-mock.log") as address:
        yield address


@pytest.fixture
async def remembering_stripe(stripe_mock: str) -> AsyncIterator[RememberingStripe]:
    """stripe-mock behind a server of ours that remembers."""
    async with RememberingStripe(stripe_mock).serving() as serving:
        yield serving


@pytest.fixture
async def payments(harness: Harness) -> AsyncIterator[ServiceUnderTest]:
    async with harness.running(
        "payment",
        build,
        settings=PaymentSettings,
        ZOCO_SANDBOX_WEBHOOK_SECRET=SECRET,
        ZOCO_SANDBOX_SLOW_SECONDS=0.2,
    ) as running:
        yield running


@pytest.fixture
def order(payments: ServiceUnderTest) -> Order:
    return Order(payments)


@pytest.fixture
async def looking(payments: ServiceUnderTest) -> AsyncIterator[Looking]:
    reconciliation = Looking(payments)
    yield reconciliation
    await reconciliation.close()

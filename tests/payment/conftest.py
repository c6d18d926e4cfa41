"""Providers to test against: the sandbox on a database of its own, and Stripe by stripe-mock."""

from collections.abc import AsyncIterator, Iterator

import pytest

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

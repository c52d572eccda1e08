"""The stand-in is honest about what it is, and an answered request outlives its process."""

import urllib.request

import pytest
import stripe

from tests.stripe_standin.process import Standin


def test_every_answer_says_that_it_comes_from_a_stand_in(standin: Standin) -> None:
    with urllib.request.urlopen(f"{standin.url}/_standin/state", timeout=10) as answer:  # noqa: S310 - loopback
        assert answer.headers["Stripe-Standin"] == "true"
    customer = standin.client().v1.customers.create({"email": "a@example.com"})
    assert customer.last_response.headers["Stripe-Standin"] == "true"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        standin.client().v1.prices.list()
    assert refused.value.headers is not None
    assert refused.value.headers["Stripe-Standin"] == "true"
    assert "Unrecognized request URL" in str(refused.value)


def test_it_stops_in_order(standin: Standin) -> None:
    assert standin.stop() == 0

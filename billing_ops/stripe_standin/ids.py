"""Identifiers that look like Stripe's: a prefix and letters and digits.

With a seed they are the same in every run that makes the same objects in the same order, so golden files are stable.
"""

import hashlib
import hmac
import secrets
import string

from billing_ops.stripe_standin.store import Store

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LENGTHS = {"cus": 14, "req": 14, "whsec": 32, "secret": 25}


class Ids:
    """Makes identifiers; the counters behind a seed are kept in the store, so a restart goes on where it stopped."""

    def __init__(self, store: Store, seed: str | None) -> None:
        self._store = store
        self._seed = seed

    def new(self, prefix: str) -> str:
        """``new("cus")`` is such as ``cus_Q8sL2m0aZp41xW``."""
        length = _LENGTHS.get(prefix, 24)
        return f"{prefix}_{self._letters(prefix, length)}"

    def request(self) -> str:
        """A request's identifier; never from the seed, since refused requests must not shift the others."""
        return "req_" + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTHS["req"]))

    def letters(self, name: str, length: int) -> str:
        """Upper-case letters and digits, such as an invoice prefix."""
        return self._letters(name, length).upper()

    def _letters(self, name: str, length: int) -> str:
        if self._seed is None:
            return "".join(secrets.choice(_ALPHABET) for _ in range(length))
        number = self._store.count_up(f"id:{name}")
        digest = hmac.new(self._seed.encode(), f"{name}:{number}".encode(), hashlib.sha512).digest()
        return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:length])

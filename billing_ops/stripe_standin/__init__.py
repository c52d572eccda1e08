"""A stand-in for Stripe on loopback: a process of its own, for ``make run`` and for tests. See README.md."""

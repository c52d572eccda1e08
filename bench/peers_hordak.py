"""One client of django-hordak for ``bench/peers.py``: it runs in an environment of its own, without our code.

``--prepare`` makes the tables and the accounts; otherwise it transfers until the time is over and prints its rate.
"""

import argparse
import os
import random
import sys
import time
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings

ACCOUNTS = 200
"""Fewer than ours: its account tree makes each one slow to create, and more would not make a transfer faster."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--prepare", action="store_true")
    given = options.parse_args()
    address = urlsplit(os.environ["HORDAK_DATABASE_URL"])
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "mptt", "djmoney", "hordak"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": address.path.lstrip("/"),
                "USER": unquote(address.username or ""),
                "PASSWORD": unquote(address.password or ""),
                "HOST": address.hostname or "",
                "PORT": address.port or "",
            }
        },
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DEFAULT_CURRENCY="USD",
        CURRENCIES=["USD"],
        HORDAK_DEFAULT_CURRENCY="USD",
        HORDAK_CURRENCIES=["USD"],
    )
    django.setup()
    from django.core.management import call_command
    from hordak.models import Account  # type: ignore[import-not-found]  # in its own environment only
    from moneyed import Money

    if given.prepare:
        call_command("migrate", verbosity=0)
        for number in range(ACCOUNTS):
            Account.objects.create(name=f"account {number}", code=str(number), type="AS", currencies=["USD"])
        return
    accounts = list(Account.objects.all())
    amount = Money("1.23", "USD")
    accounts[0].transfer_to(accounts[1], amount)
    print("ready", flush=True)
    sys.stdin.readline()
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < given.seconds:
        source, target = random.sample(accounts, 2)
        source.transfer_to(target, amount)
        done += 1
    print(done / (time.perf_counter() - begun))


if __name__ == "__main__":
    main()

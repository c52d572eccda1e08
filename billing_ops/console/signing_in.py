"""Signing in, and no more than five wrong passwords for one name from one address.

A try is counted before its password is looked at, so that many at once are no way around; a right one starts anew. A
name that nobody has is counted and answered alike, and a locked one like a wrong password: the answer tells nothing.
"""

import ipaddress
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from unfold.forms import AuthenticationForm

from billing_ops.kit import audit, clock
from billing_ops.kit.actor import system
from billing_ops.models import SignInTries

MOST_FAILURES: Final = 5
LOCK: Final = timedelta(minutes=15)
"""How long a name is locked from an address, and after how long without a try its failures are forgotten."""

_KEPT: Final = timedelta(days=1)
_FORGOTTEN_AT_ONCE: Final = 100


class SignInForm(AuthenticationForm):  # type: ignore[misc]  # unfold has no types
    """Django's form for staff, behind the count of failures."""

    def clean(self) -> Any:
        """The cleaned data with ``get_user()`` set; one error, in the same words, for every way to fail."""
        username, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if not username or not password:
            return super().clean()
        address, at = address_of(self.request), clock.now()
        tried = begin(username=username, address=address, at=at)
        if tried is None:
            get_user_model()().set_password(password)  # takes as long as looking at a password
            raise self.get_invalid_login_error()
        try:
            found = super().clean()
        except ValidationError:
            if tried == MOST_FAILURES:
                _note_lock(username, address, at)
            raise
        succeed(username=username, address=address, at=at)
        return found


def begin(*, username: str, address: str, at: datetime) -> int | None:
    """Count a try: the how-manieth without success it is, or None while the name is locked from that address."""
    with transaction.atomic():
        row, made = SignInTries.objects.select_for_update().get_or_create(
            username=username, address=address, defaults={"last_at": at}
        )
        if made:
            _forget(at)
        if row.locked_until is not None and at < row.locked_until:
            return None
        row.failures = 1 if row.locked_until is not None or row.last_at <= at - LOCK else row.failures + 1
        row.last_at = at
        row.locked_until = at + LOCK if row.failures >= MOST_FAILURES else None
        row.save(update_fields=["failures", "last_at", "locked_until"])
        return row.failures


def succeed(*, username: str, address: str, at: datetime) -> None:
    """Forget the failures of a name from an address: the password was right."""
    SignInTries.objects.filter(username=username, address=address).update(failures=0, last_at=at, locked_until=None)


def address_of(request: HttpRequest | None) -> str:
    """Where a request comes from; of an IPv6 address the network, which one person has all of."""
    text = (request.META.get("REMOTE_ADDR") if request else "") or ""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return "unknown"
    found = getattr(found, "ipv4_mapped", None) or found
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((int(found), 64), strict=False))


def _note_lock(username: str, address: str, at: datetime) -> None:
    audit.record(
        at=at,
        actor=system("sign-in"),
        action="sign_in.locked",
        subject_type="user",
        subject_key=username[:128],
        summary=f"Signing in from {address} locked until {at + LOCK:%H:%M} UTC after {MOST_FAILURES} failures",
    )


def _forget(at: datetime) -> None:
    old = SignInTries.objects.select_for_update(skip_locked=True).filter(last_at__lt=at - _KEPT)
    SignInTries.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:_FORGOTTEN_AT_ONCE])).delete()

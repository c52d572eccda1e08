"""The door: who asks, in which version, and what was sent. What is refused here is kept nowhere."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from billing_ops.stripe_standin import forms
from billing_ops.stripe_standin.account import API_VERSION
from billing_ops.stripe_standin.errors import Json, at_the_door

MAX_KEY_LENGTH = 255
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


@dataclass
class Answer:
    """What is sent back; ``conduct`` is how: ``answer``, ``hang`` (nothing for a while) or ``reset``."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    conduct: str = "answer"
    hold_seconds: float = 0.0


@dataclass
class Request:
    """A request as it came in (header names in lower case), and what became known of it on the way."""

    method: str
    target: str
    headers: Mapping[str, str]
    raw: bytes
    id: str = ""
    path: str = ""
    sent: Json = field(default_factory=dict)
    key: str | None = None
    version: str | None = None


def refused(hosts: Sequence[str], origin: str | None) -> tuple[int, Json] | None:
    """Why the controls, which ask for no key, are closed to a request: a page in a browser sent it. None: they open.

    A page says where it comes from (``Origin``) when it sends; one whose name was pointed here has another ``Host``.
    """
    if origin is not None:
        return 403, {"error": "The controls are not for pages in a browser."}
    try:
        names = [urlsplit(f"//{host}").hostname for host in hosts]
    except ValueError:
        names = []
    if len(names) != 1 or names[0] not in LOOPBACK_NAMES:
        return 403, {"error": f"The controls answer to {', '.join(LOOPBACK_NAMES)} only."}
    return None


def enter(request: Request, api_key: str) -> None:
    """Check the key and the version and read the parameters; raises what Stripe answers at the door."""
    headers = request.headers
    _check_key(headers.get("authorization", ""), api_key)
    request.version = headers.get("stripe-version")
    if request.version not in (None, API_VERSION):
        raise at_the_door(
            400, f"Invalid Stripe API version: {request.version}. The Stripe stand-in speaks {API_VERSION} only."
        )
    query = urlsplit(request.target).query
    try:
        text = request.raw.decode() if request.method == "POST" else query
    except UnicodeDecodeError:
        raise at_the_door(400, "Invalid request: the body is not UTF-8.") from None
    request.sent = forms.decode(text)
    if request.method == "POST" and headers.get("idempotency-key"):
        request.key = headers["idempotency-key"]
        if len(request.key) > MAX_KEY_LENGTH:
            raise at_the_door(400, f"Idempotency keys can have up to {MAX_KEY_LENGTH} characters.")


def _check_key(sent: str, api_key: str) -> None:
    scheme, _, value = sent.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            value = ""
    if not value:
        raise at_the_door(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization header, using"
            " Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        )
    if value != api_key:
        raise at_the_door(401, f"Invalid API Key provided: {value[:8]}{'*' * 8}{value[-4:]}")

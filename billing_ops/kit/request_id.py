"""The id of the request being answered: in the answer, in every log line and in every audit entry of it."""

import logging
import re
import secrets
from contextvars import ContextVar, Token

_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}", re.ASCII)
_current: ContextVar[str] = ContextVar("request_id", default="")


def current() -> str:
    """The present request's id; empty outside a request."""
    return _current.get()


def begin(proposed: str) -> Token[str]:
    """Start a request under the caller's id if it is sane (8 to 64 of ``A-Za-z0-9._:-``), else under a new one."""
    return _current.set(proposed if _SANE.fullmatch(proposed) else secrets.token_hex(16))


def end(token: Token[str]) -> None:
    """Forget the request's id."""
    _current.reset(token)


class RequestIdFilter(logging.Filter):
    """Gives each log record ``request_id`` (``-`` outside a request)."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)  # Django logs an answer after its middleware is through
        record.request_id = current() or getattr(request, "request_id", "-")
        return True

"""How an invoice number is written: ``INV-000042``."""


def write(prefix: str, number: int) -> str:
    """The number as printed: the series' prefix and at least six digits."""
    return f"{prefix}-{number:06d}"

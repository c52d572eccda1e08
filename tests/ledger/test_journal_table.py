"""``ledger/JOURNAL.md`` is the table of routes as finance reads it, and says truly which act posts each kind today.

Write it anew with ``UPDATE_GOLDEN=1``.
"""

import ast
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ledger.rules import routes
from ledger.rules.chart import BY_CODE
from tests.ledger.journals import cases

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "ledger" / "JOURNAL.md"
PACKAGES = ("ledger", "invoicing", "plans", "metering", "billing_ops")
MARK = "<!-- the table -->\n"

_KINDS = {name: value for name, value in vars(routes).items() if isinstance(value, str) and value in routes.BY_TYPE}


def _posted_in(tree: ast.AST) -> Iterator[str]:
    """The names of kinds that stand where an entry is asked for: ``movement=…``, or first in a draft."""
    for node in ast.walk(tree):
        places: list[ast.AST] = []
        if isinstance(node, ast.Call):
            places += [keyword.value for keyword in node.keywords if keyword.arg == "movement"]
            if ast.unparse(node.func).endswith("EntryDraft"):
                places += node.args[:1]
        if isinstance(node, ast.Assign) and "movement" in ast.unparse(node.targets[0]):
            places.append(node.value)
        for place in places:
            for inner in ast.walk(place):
                if isinstance(inner, ast.Attribute) and ast.unparse(inner.value) in ("movements", "routes"):
                    yield inner.attr


def _acts() -> dict[str, list[str]]:
    """By kind of entry, the modules that post it."""
    found: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if {"migrations", "rules"} & set(path.parts):
                continue
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for name in sorted(set(_posted_in(ast.parse(path.read_text())))):
                found[_KINDS[name]].append(module)
    return found


def _accounts(codes: tuple[str, ...]) -> str:
    return "<br>".join(f"{code} {BY_CODE[code].name}" for code in codes)


def _table() -> str:
    acts = _acts()
    rows = ["| Row | Event | Debit | Credit | Posted by | Journals |", "|---|---|---|---|---|---|"]
    for route in routes.ROUTES:
        journals = [
            f"[{name}](../tests/golden/journals/{name}.txt)"
            for name, case in cases().items()
            if case.movement == route.code
        ]
        posted = "<br>".join(f"`{module}`" for module in acts[route.code]) or "no act yet"
        sides = (
            [_accounts(route.debits), _accounts(route.credits)]
            if route.debits
            else ["the mirror image", "of what it reverses"]
        )
        if len(journals) > 3:
            journals[2:] = [f"and {len(journals) - 2} more"]
        cells = [route.row, f"{route.label}<br>`{route.code}`", *sides, posted, "<br>".join(journals)]
        if len(journals) > 3:
            journals[2:] = [f"and {len(journals) - 2} more"]
        cells = [route.row, f"{route.label}<br>`{route.code}`", *sides, posted, "<br>".join(journals)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def test_the_table_is_that_of_the_routes() -> None:
    head, mark, _ = TABLE.read_text().partition(MARK)
    whole = head + mark + _table()
    if os.environ.get("UPDATE_GOLDEN"):
        TABLE.write_text(whole)
    assert TABLE.read_text() == whole

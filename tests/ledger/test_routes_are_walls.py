"""The database lets no kind of entry touch an account outside of its route: every kind × account × side is tried."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import transaction

from billing_ops.kit.approvals import content_hash
from billing_ops.models import Approval
from ledger.rules.chart import BY_CODE, CHART
from ledger.rules.routes import BY_TYPE, ENTRY_REVERSED, ROUTES, Route
from tests.ledger.books import AT, account, period, raw_entry, refused, sql

# One entry a kind, by raw SQL, and its two lines again and again, in subtransactions that never stay: the probed
# account on one side, an account on which the kind may stand on the other. A loop in the server: thousands in a second.
_TRY_ALL = """
DO $$
DECLARE
    probe json;
    answers text[] := '{}';
    rule text;
BEGIN
    FOR probe IN SELECT * FROM json_array_elements(current_setting('test.probes')::json) LOOP
        BEGIN
            INSERT INTO ledger_line (entry_id, line_no, account_id, unit, side, amount, account_version, balance_after,
                effective_on)
            SELECT entry, no, account, 'USD', side, 1, version, version, day
              FROM json_to_recordset(probe)
                   AS l (entry bigint, no int, account bigint, side int, version int, day date);
            RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'taken';
        EXCEPTION WHEN integrity_constraint_violation OR check_violation OR restrict_violation THEN
            GET STACKED DIAGNOSTICS rule = CONSTRAINT_NAME;
            answers := answers || rule;
        END;
    END LOOP;
    PERFORM set_config('test.answers', array_to_json(answers)::text, true);
END $$
"""


def _accounts() -> dict[str, int]:
    """An account of each code."""
    found = {}
    for row in CHART:
        dimension = {"": "", "grant": str(uuid4()), "units": str(uuid4())}.get(row.dimension, "x")
        customer = "cus-1" if row.takes_customer else ""
        found[row.code] = account(row.code, customer=customer, dimension=dimension).pk
    return found


def _approval() -> int:
    """One that is in force in this transaction, for the kinds that need it."""
    row = Approval.objects.create(
        key="raw", kind="credit.transfer", subject={}, content_hash=content_hash({}), summary="x", flags=[],
        requested_by_type="user", requested_by_id="ana", reason_code="x", requested_at=AT,
        expires_at=AT + timedelta(days=1),
    )  # fmt: skip
    Approval.objects.filter(pk=row.pk).update(
        status="approved", decided_by_type="user", decided_by_id="bob", decided_at=AT
    )
    return row.pk


def _other(route: Route, side: int) -> str:
    """An account on which the kind may stand on the other side, a plain one if there is one."""
    allowed = route.credits if side > 0 else route.debits
    return min(allowed, key=lambda code: BY_CODE[code].materialised) if allowed else "4000"


def _lines(entry: int, accounts: dict[str, int], route: Route, code: str, side: int) -> list[dict[str, object]]:
    other = _other(route, side)
    pair = ((1, code, side), (2, other, -side))
    return [
        {
            "entry": entry,
            "no": no,
            "account": accounts[one],
            "side": of,
            "version": (no if code == other else 1) if BY_CODE[one].materialised else None,
            "day": AT.date().isoformat(),
        }
        for no, one, of in pair
    ]


@pytest.mark.django_db
def test_no_kind_of_entry_touches_an_account_outside_of_its_route() -> None:
    routes = [route for route in ROUTES if route.code != ENTRY_REVERSED]
    sides = [(1, route, route.debits) for route in routes] + [(-1, route, route.credits) for route in routes]
    allowed = {(route.code, code, side) for side, route, codes in sides for code in codes}
    probes = [(route.code, row.code, side) for side, route, _ in sides for row in CHART]
    with transaction.atomic():
        accounts, approval, inside = _accounts(), _approval(), period()
        entries = {
            route.code: raw_entry(
                movement=route.code, period_id=inside.pk, approval_id=approval if route.needs_approval else None
            )
            for route in routes
        }
        tried = [_lines(entries[kind], accounts, BY_TYPE[kind], code, side) for kind, code, side in probes]
        sql("SELECT set_config('test.probes', %s, true)", json.dumps(tried))
        sql(_TRY_ALL)
        rules = json.loads(sql("SELECT current_setting('test.answers')")[0][0])
        transaction.set_rollback(True)
    answers = dict(zip(probes, rules, strict=True))
    # Whoever takes credit without a draw is told of that first.
    walls = ("ledger_line_routed", "ledger_line_drawn", "ledger_line_returned")
    assert {probe for probe in allowed if answers[probe] == "ledger_line_routed"} == set()
    assert {probe: rule for probe, rule in answers.items() if probe not in allowed and rule not in walls} == {}
    assert sum(rule == "taken" for rule in rules) > 100  # what is allowed is taken, unless another rule speaks


@pytest.mark.django_db
def test_a_reversal_reverses_something() -> None:
    with refused("ledger_entry_reversal_type"):
        raw_entry(movement=ENTRY_REVERSED)

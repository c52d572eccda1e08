"""``manage.py verify_ledger``: recompute every invariant of the books and their chain of seals."""

import json
import re
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from billing_ops.kit import audit, clock
from billing_ops.kit.actor import system
from ledger import verifying


class Command(BaseCommand):
    help = (
        "Recompute every invariant of the books from the lines, and the chain of seals from the rows; name each "
        "violation and end with an error when there is one. It only reads, in one snapshot; let it run where nobody "
        "waits. --expect-head compares the chain with a hash that was kept outside (export_seals prints it)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--expect-head", default="", metavar="HASH", help="a seal's hash that was kept outside")
        parser.add_argument("--json", action="store_true", help="print the verdict as one JSON object")
        parser.add_argument("--limit", type=int, default=1000, help="list at most so many broken invariants")

    def handle(self, *args: Any, **options: Any) -> None:
        expected: str = options["expect_head"].strip().lower()
        if expected and not re.fullmatch(r"[0-9a-f]{64}", expected):
            raise CommandError("--expect-head takes the 64 hexadecimal digits of a seal's hash.")
        verdict = verifying.verify(expect_head=expected, limit=options["limit"], progress=self._progress)
        _leave_a_trail(verdict)
        if options["json"]:
            self.stdout.write(json.dumps(_values(verdict)))
        else:
            self._tell(verdict)
        if verdict.violations:
            raise CommandError(f"{len(verdict.violations)} violations.")

    def _progress(self, text: str) -> None:
        self.stderr.write(f"… {text}")

    def _tell(self, verdict: verifying.Verdict) -> None:
        for one in verdict.violations:
            self.stdout.write(f"{one.rule}  {one.subject}: {one.detail}")
        self.stdout.write(
            f"{verdict.seals} seals over {verdict.entries_sealed} entries, {verdict.entries_waiting} not sealed yet. "
            f"Head: {verdict.head or 'none'}"
        )
        if not verdict.violations:
            self.stdout.write("The books hold.")


def _values(verdict: verifying.Verdict) -> dict[str, Any]:
    return {
        "holds": not verdict.violations,
        "violations": [{"rule": v.rule, "subject": v.subject, "detail": v.detail} for v in verdict.violations],
        "seals": verdict.seals,
        "head": verdict.head,
        "entries_sealed": verdict.entries_sealed,
        "entries_waiting": verdict.entries_waiting,
    }


def _leave_a_trail(verdict: verifying.Verdict) -> None:
    """Remember that and with what result; a copy that cannot be written is verified all the same."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean")
        if cursor.fetchone()[0]:
            return
    found = len(verdict.violations)
    audit.record(
        at=clock.now(),
        actor=system("verify_ledger"),
        action="ledger.verified",
        subject_type="ledger",
        subject_key="main",
        summary=f"The ledger verified: {found} violations" if found else "The ledger verified: it holds",
        changes={"head": ["", verdict.head], "violations": [0, found]},
    )

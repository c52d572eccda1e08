"""The chain of seals over the journal."""

from typing import ClassVar

from django.db import models

from ledger.models.columns import Int8MultirangeField, Xid8Field


class Seal(models.Model):
    """A Merkle root over entries in their canonical form, chained to the seal before it.

    Only the database function ``ledger_seal_next`` writes seals. What belongs to one is the set of ids it names, so it
    is known wherever the books are restored; transaction ids say where to look next, within one cluster.
    """

    app_privileges: ClassVar[str] = "SELECT"

    seq = models.BigIntegerField(primary_key=True)
    """1, 2, 3 … without a gap."""
    form_version = models.PositiveSmallIntegerField()
    """The version of the canonical form that was hashed."""
    system_identifier = models.BigIntegerField()
    """The database cluster whose transaction ids these are."""
    from_xid = Xid8Field()
    to_xid = Xid8Field()
    """Every entry of this cluster by a transaction below it is in this seal or an earlier one."""
    catches_up_to = models.BigIntegerField(null=True)
    """Set while a cluster catches up with what it found: the last entry's id; then ids are walked, not transactions."""
    entries = Int8MultirangeField()
    """The ids of the entries sealed."""
    changes = Int8MultirangeField()
    """The ids of the rows of the history of periods sealed."""
    entry_count = models.IntegerField()
    line_count = models.IntegerField()
    draw_count = models.IntegerField()
    change_count = models.IntegerField()
    leaves = models.BinaryField()
    """The hashes under the root, 32 bytes each: entries by id, then changes by id. They name what was edited."""
    merkle_root = models.CharField(max_length=64)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)
    sealed_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_seal"
        indexes = (models.Index(fields=["sealed_at"], name="ledger_seal_sealed_at"),)

    def __str__(self) -> str:
        return f"seal {self.seq}"

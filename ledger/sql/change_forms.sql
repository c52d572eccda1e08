-- what:       the canonical form, version 1, of rows of the history of periods; as the sealing function of migration 0005
-- called by:  ledger/verifying.py
-- parameters: %(ids)s bigint[]
SELECT c.id, json_build_array('period change', 1, b.key, p.starts_on, p.ends_before, c.from_status, c.to_status,
    (extract(epoch FROM c.at) * 1000000)::bigint, (extract(epoch FROM c.recorded_at) * 1000000)::bigint,
    c.actor_type, c.actor_id, c.actor_label, c.reason, c.note, c.approval_id,
    y.content_hash, y.requested_by_id, y.decided_by_id)::text
  FROM unnest(%(ids)s::bigint[]) AS wanted (id)
  JOIN ledger_period_change c ON c.id = wanted.id
  LEFT JOIN ledger_period p ON p.id = c.period_id
  LEFT JOIN ledger_book b ON b.id = p.book_id
  LEFT JOIN billing_ops_approval y ON y.id = c.approval_id

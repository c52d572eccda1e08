-- what:       the lines that count for a range of days, each with all that finance needs of its entry and account
-- called by:  ledger/exporting.py, through a cursor on the server
-- parameters: %(since)s, %(until)s date, the second exclusive
SELECT e.public_id::text, l.line_no, e.event_type, t.label, e.effective_on, e.effective_at, e.occurred_at, e.recorded_at,
       a.code, c.name, a.customer_key, a.dimension, l.unit,
       CASE WHEN l.side = 1 THEN l.amount END, CASE WHEN l.side = -1 THEN l.amount END,
       e.invoice_ref, e.grant_ref, e.stripe_ref, e.batch_ref, e.actor_type, e.actor_id, e.reason_code, e.reason_note,
       e.ticket, e.approval_id, o.public_id::text, e.fx_rate, e.source, e.idempotency_key
  FROM ledger_entry e
  JOIN ledger_line l ON l.entry_id = e.id
  JOIN ledger_account a ON a.id = l.account_id
  JOIN ledger_account_code c ON c.code = a.code
  JOIN ledger_event_type t ON t.code = e.event_type
  LEFT JOIN ledger_entry o ON o.id = e.reverses_id
 WHERE e.effective_on >= %(since)s AND e.effective_on < %(until)s
 ORDER BY e.id, l.line_no

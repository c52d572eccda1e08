-- what:       where each grant's amount is, to the last unit: remaining (stored balance), held, used, expired and voided,
--             and of what was voided the parts that were refunded, transferred and rolled over
-- called by:  ledger/balances.py; the parts come from the lines, what remains from the stored balance
-- parameters: %(grants)s bigint[]
SELECT g.id, b.normal_side * (b.debits - b.credits) AS remaining, b.held, parts.used, parts.expired,
       parts.gone - parts.used - parts.expired AS voided, parts.refunded, parts.transferred, parts.rolled_over
  FROM unnest(%(grants)s::bigint[]) AS wanted (id)
  JOIN ledger_credit_grant g ON g.id = wanted.id
  JOIN ledger_balance b ON b.account_id = g.account_id
 CROSS JOIN LATERAL (
    -- A reversal counts for what it undoes: a reversed draw is not used, a reversed issue is a void. What was given back
    -- is not used.
    SELECT coalesce(sum(l.side * l.amount), 0) AS gone,
           coalesce(sum(l.side * l.amount) FILTER (WHERE t.draws_credit OR t.returns_credit), 0) AS used,
           coalesce(sum(l.side * l.amount) FILTER (WHERE t.code = 'credit.expired'), 0) AS expired,
           coalesce(sum(l.side * l.amount) FILTER (WHERE t.code = 'credit.refunded'), 0) AS refunded,
           coalesce(sum(l.side * l.amount) FILTER (WHERE t.code = 'credit.transferred'), 0) AS transferred,
           coalesce(sum(l.side * l.amount) FILTER (WHERE t.code = 'credit.rolled_over'), 0) AS rolled_over
      FROM ledger_line l
      JOIN ledger_entry e ON e.id = l.entry_id
      LEFT JOIN ledger_entry undone ON undone.id = e.reverses_id
      JOIN ledger_event_type t ON t.code = coalesce(undone.event_type, e.event_type)
     WHERE l.account_id = g.account_id AND l.account_version > 1) parts

-- what:       where each grant's amount is: remaining (stored balance), held, used, expired, voided
-- called by:  ledger/balances.py; the parts come from the lines, what remains from the stored balance
-- parameters: %(grants)s bigint[]
SELECT g.id, b.normal_side * (b.debits - b.credits) AS remaining, b.held, parts.used, parts.expired, parts.voided
  FROM unnest(%(grants)s::bigint[]) AS wanted (id)
  JOIN ledger_credit_grant g ON g.id = wanted.id
  JOIN ledger_balance b ON b.account_id = g.account_id
 CROSS JOIN LATERAL (
    SELECT coalesce(sum(l.side * l.amount) FILTER (WHERE t.draws_credit), 0) AS used,
           coalesce(sum(l.side * l.amount) FILTER (WHERE t.code = 'credit.expired'), 0) AS expired,
           -- A reversed issue is a void.
           coalesce(sum(l.side * l.amount) FILTER (WHERE t.code = 'credit.voided'
               OR (t.code IN ('credit.granted', 'opening.balance') AND e.reverses_id IS NOT NULL)), 0) AS voided
      FROM ledger_line l
      JOIN ledger_entry e ON e.id = l.entry_id
      LEFT JOIN ledger_entry undone ON undone.id = e.reverses_id
      JOIN ledger_event_type t ON t.code = coalesce(undone.event_type, e.event_type)
     WHERE l.account_id = g.account_id) parts

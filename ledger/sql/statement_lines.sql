-- what:       a page of the lines of some accounts in the order of statements (day, entry, number), with their entries
-- called by:  ledger/statements.py
-- parameters: %(accounts)s bigint[]; %(since)s, %(until)s date or null: days that count, the second exclusive; %(known)s
--             timestamptz or null: written before; %(day)s date or null, %(entry)s, %(line)s bigint: only what stands after
--             that line; %(limit)s int
SELECT p.account_id, p.entry_id, p.line_no, p.effective_on, p.side, p.amount, e.public_id, e.event_type, e.effective_at,
       e.occurred_at, e.recorded_at, e.invoice_ref, e.grant_ref, e.stripe_ref, e.batch_ref, e.reason_code, e.ticket,
       e.actor_type, e.actor_id, o.public_id AS reverses, r.public_id AS reversed_by
  FROM (SELECT l.*
          FROM unnest(%(accounts)s::bigint[]) a (id)
         CROSS JOIN LATERAL (
            SELECT x.account_id, x.entry_id, x.line_no, x.effective_on, x.side, x.amount
              FROM ledger_line x
             WHERE x.account_id = a.id
               AND (%(since)s::date IS NULL OR x.effective_on >= %(since)s::date)
               AND (%(until)s::date IS NULL OR x.effective_on < %(until)s::date)
               AND (%(day)s::date IS NULL
                    OR (x.effective_on, x.entry_id, x.line_no) > (%(day)s::date, %(entry)s::bigint, %(line)s::int))
               AND (%(known)s::timestamptz IS NULL
                    OR EXISTS (SELECT FROM ledger_entry w
                                WHERE w.id = x.entry_id AND w.recorded_at < %(known)s::timestamptz))
             ORDER BY x.effective_on, x.entry_id, x.line_no LIMIT %(limit)s) l
         ORDER BY l.effective_on, l.entry_id, l.line_no LIMIT %(limit)s) p
  JOIN ledger_entry e ON e.id = p.entry_id
  LEFT JOIN ledger_entry o ON o.id = e.reverses_id
  LEFT JOIN ledger_entry r ON r.reverses_id = e.id
        AND (%(known)s::timestamptz IS NULL OR r.recorded_at < %(known)s::timestamptz)
 ORDER BY p.effective_on, p.entry_id, p.line_no

-- What:       rules of automatic top-ups to look at: switched on, not resting after a failure, and whose customer has an
--             entry newer than the one that was seen, or was not looked at for an hour (holds make no entry)
-- Called by:  invoicing/auto_topping_up.py
-- Parameters: %(at)s timestamptz, %(limit)s int
SELECT w.id
  FROM invoicing_autotopupwork w
  JOIN plans_customer c ON c.id = w.customer_id
 CROSS JOIN LATERAL (
    SELECT coalesce(max(e.id), 0) AS entry FROM ledger_entry e WHERE e.customer_key = c.key OFFSET 0) newest
 WHERE w.enabled AND (w.next_try_at IS NULL OR w.next_try_at <= %(at)s)
   AND (newest.entry > w.seen_entry OR w.looked_at IS NULL OR w.looked_at <= %(at)s - interval '1 hour'
        OR w.next_try_at IS NOT NULL)
 ORDER BY w.looked_at NULLS FIRST, w.id
 LIMIT %(limit)s

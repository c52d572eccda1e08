-- what:       debits, credits and number of lines of some accounts, each, as of (effective, recorded)
-- called by:  ledger/balances.py, ledger/statements.py (what stood before a page); the same parts as trial_balance.sql
-- parameters: %(accounts)s bigint[]; %(until)s, %(known)s timestamptz or null; %(until_day)s, %(known_day)s date or null;
--             %(until_edge)s, %(known_edge)s date or null: as in trial_balance.sql; %(entry)s, %(line)s bigint or null: of
--             the edge day only what stands before that line
WITH tail AS MATERIALIZED (SELECT * FROM ledger_unrolled_entries()),
cut AS (
    SELECT l.account_id, l.side, l.amount
      FROM ledger_account_day d
      JOIN ledger_line l ON l.account_id = d.account_id AND l.effective_on = d.effective_on
      JOIN ledger_entry e ON e.id = l.entry_id
      JOIN ledger_book b ON b.id = e.book_id
     WHERE ledger_rollups_in_use() AND d.account_id = ANY (%(accounts)s::bigint[])
       AND (d.effective_on = %(until_edge)s::date
            OR d.recorded_on = %(known_edge)s::date
               AND (%(until_day)s::date IS NULL OR d.effective_on < %(until_day)s::date))
       AND (e.recorded_at AT TIME ZONE b.timezone)::date = d.recorded_on
       AND (%(until)s::timestamptz IS NULL OR e.effective_at < %(until)s::timestamptz)
       AND (%(known)s::timestamptz IS NULL OR e.recorded_at < %(known)s::timestamptz)
       AND (%(entry)s::bigint IS NULL OR l.effective_on < %(until_edge)s::date
            OR (l.entry_id, l.line_no) < (%(entry)s::bigint, %(line)s::int))
       AND l.entry_id NOT IN (SELECT id FROM tail)
    UNION ALL
    SELECT l.account_id, l.side, l.amount
      FROM tail t
      JOIN ledger_line l ON l.entry_id = t.id AND l.account_id = ANY (%(accounts)s::bigint[])
     WHERE (%(until)s::timestamptz IS NULL OR t.effective_at < %(until)s::timestamptz)
       AND (%(known)s::timestamptz IS NULL OR t.recorded_at < %(known)s::timestamptz)
       AND (%(until_day)s::date IS NULL OR l.effective_on < %(until_day)s::date
            OR l.effective_on = %(until_edge)s::date)
       AND (%(entry)s::bigint IS NULL OR l.effective_on < %(until_edge)s::date
            OR (l.entry_id, l.line_no) < (%(entry)s::bigint, %(line)s::int))),
parts AS (
    SELECT account_id, debits, credits, lines FROM ledger_account_day
     WHERE ledger_rollups_in_use() AND account_id = ANY (%(accounts)s::bigint[])
       AND (%(until_day)s::date IS NULL OR effective_on < %(until_day)s::date)
       AND (%(known_day)s::date IS NULL OR recorded_on < %(known_day)s::date)
    UNION ALL
    SELECT account_id, coalesce(sum(amount) FILTER (WHERE side = 1), 0),
           coalesce(sum(amount) FILTER (WHERE side = -1), 0), count(*)
      FROM cut GROUP BY account_id)
SELECT account_id, sum(debits), sum(credits), sum(lines)::bigint FROM parts GROUP BY account_id

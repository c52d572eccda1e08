-- what:       debits, credits and number of lines of each account code in one unit, as of (effective, recorded): the
--             roll-ups of whole days, the lines of the days that an instant cuts, and the tail that is not rolled up
-- called by:  ledger/balances.py; equal to a plain scan of the lines (tests/properties/test_rollups.py)
-- parameters: %(unit)s text; %(since)s date or null: effective from that day on; %(until)s timestamptz or null: effective
--             before; %(known)s timestamptz or null: recorded before; %(until_day)s, %(known_day)s their days in the
--             book's zone; %(until_edge)s, %(known_edge)s the same days if the instant cuts them, else null
WITH tail AS MATERIALIZED (SELECT * FROM ledger_unrolled_entries()),
cut AS (
    -- Lines of accounts and days that are rolled up, where an instant falls inside of the day.
    SELECT a.code, l.side, l.amount
      FROM ledger_account_day d
      JOIN ledger_account a ON a.id = d.account_id AND a.unit = %(unit)s
      JOIN ledger_line l ON l.account_id = d.account_id AND l.effective_on = d.effective_on
      JOIN ledger_entry e ON e.id = l.entry_id
      JOIN ledger_book b ON b.id = e.book_id
     WHERE ledger_rollups_in_use()
       AND (d.effective_on = %(until_edge)s::date OR d.recorded_on = %(known_edge)s::date)
       AND (%(since)s::date IS NULL OR d.effective_on >= %(since)s::date)
       AND (e.recorded_at AT TIME ZONE b.timezone)::date = d.recorded_on
       AND (%(until)s::timestamptz IS NULL OR e.effective_at < %(until)s::timestamptz)
       AND (%(known)s::timestamptz IS NULL OR e.recorded_at < %(known)s::timestamptz)
       AND l.entry_id NOT IN (SELECT id FROM tail)
    UNION ALL
    SELECT a.code, l.side, l.amount
      FROM tail t
      JOIN ledger_line l ON l.entry_id = t.id
      JOIN ledger_account a ON a.id = l.account_id AND a.unit = %(unit)s
     WHERE (%(since)s::date IS NULL OR t.effective_on >= %(since)s::date)
       AND (%(until)s::timestamptz IS NULL OR t.effective_at < %(until)s::timestamptz)
       AND (%(known)s::timestamptz IS NULL OR t.recorded_at < %(known)s::timestamptz)),
parts AS (
    SELECT code, debits, credits, lines FROM ledger_code_day
     WHERE ledger_rollups_in_use() AND unit = %(unit)s
       AND (%(since)s::date IS NULL OR effective_on >= %(since)s::date)
       AND (%(until_day)s::date IS NULL OR effective_on < %(until_day)s::date)
       AND (%(known_day)s::date IS NULL OR recorded_on < %(known_day)s::date)
    UNION ALL
    SELECT code, coalesce(sum(amount) FILTER (WHERE side = 1), 0), coalesce(sum(amount) FILTER (WHERE side = -1), 0),
           count(*)
      FROM cut GROUP BY code)
SELECT c.code, c.name, sum(parts.debits), sum(parts.credits), sum(parts.lines)::bigint
  FROM parts JOIN ledger_account_code c ON c.code = parts.code
 GROUP BY c.code, c.name
 ORDER BY c.code

-- what:       every violation of the books' invariants, recomputed from the lines; no row is a proof
-- called by:  ledger/proofs.py (tests after every step of a random walk; nightly)
-- parameters: %(limit)s int
SELECT * FROM (
    -- I1: every entry balances per unit, and its memo lines on their own
    SELECT 'I1' AS rule, 'entry ' || l.entry_id AS subject, 'debits less credits: ' || sum(l.side * l.amount) AS detail
      FROM ledger_line l JOIN ledger_account a ON a.id = l.account_id
     GROUP BY l.entry_id, l.unit, a.memo HAVING sum(l.side * l.amount) <> 0
    UNION ALL
    SELECT 'I1', 'entry ' || e.id, 'has ' || count(l.entry_id) || ' of ' || e.line_count || ' lines'
      FROM ledger_entry e LEFT JOIN ledger_line l ON l.entry_id = e.id
     GROUP BY e.id HAVING count(l.entry_id) <> e.line_count
    UNION ALL
    -- I2: all accounts of a unit add up to zero
    SELECT 'I2', 'unit ' || unit, 'debits less credits: ' || sum(side * amount)
      FROM ledger_line GROUP BY unit HAVING sum(side * amount) <> 0
    UNION ALL
    -- I3: a stored balance is the sum of its lines, its version their number, and each line says what it left
    SELECT 'I3', 'account ' || b.account_id, 'stored ' || (b.debits - b.credits) || ' version ' || b.version
                 || ', lines ' || coalesce(s.net, 0) || ' version ' || coalesce(s.lines, 0)
      FROM ledger_balance b
      LEFT JOIN (SELECT account_id, sum(side * amount) AS net, count(*) AS lines, max(account_version) AS version,
                        sum(amount) FILTER (WHERE side = 1) AS debits
                   FROM ledger_line WHERE account_version IS NOT NULL GROUP BY account_id) s USING (account_id)
     WHERE (b.debits - b.credits, b.version, b.debits)
           IS DISTINCT FROM (coalesce(s.net, 0), coalesce(s.version, 0), coalesce(s.debits, 0))
        OR coalesce(s.lines, 0) <> b.version
    UNION ALL
    SELECT 'I3', 'entry ' || entry_id || ' line ' || line_no, 'says ' || balance_after || ', is ' || really
      FROM (SELECT l.entry_id, l.line_no, l.balance_after, a.normal_side * sum(l.side * l.amount)
                       OVER (PARTITION BY l.account_id ORDER BY l.account_version) AS really
              FROM ledger_line l JOIN ledger_account a ON a.id = l.account_id AND a.materialised) running
     WHERE balance_after IS DISTINCT FROM really
    UNION ALL
    -- I4: no balance is below its floor, holds counted
    SELECT 'I4', 'account ' || account_id, 'is ' || (normal_side * (debits - credits)) || ', held ' || held
      FROM ledger_balance WHERE normal_side * (debits - credits) - held < min_available
    UNION ALL
    -- I7: an entry is reversed once, by its mirror image
    SELECT 'I7', 'entry ' || reverses_id, 'is reversed ' || count(*) || ' times'
      FROM ledger_entry WHERE reverses_id IS NOT NULL GROUP BY reverses_id HAVING count(*) > 1
    UNION ALL
    SELECT 'I7', 'entry ' || e.id, 'is no mirror of entry ' || e.reverses_id
      FROM ledger_entry e
      JOIN ledger_line o ON o.entry_id = e.reverses_id
      LEFT JOIN ledger_line l ON l.entry_id = e.id AND l.line_no = o.line_no
     WHERE (l.account_id, l.side, l.amount) IS DISTINCT FROM (o.account_id, (-o.side)::smallint, o.amount)
    UNION ALL
    -- I8: one entry a key
    SELECT 'I8', source || ' ' || idempotency_key, 'has ' || count(*) || ' entries'
      FROM ledger_entry GROUP BY source, idempotency_key HAVING count(*) > 1
    UNION ALL
    -- I11: customers' accounts add up to the control totals, which the unstored side of the books gives
    SELECT 'I11', code || ' ' || unit, 'accounts ' || stored || ', lines ' || control
      FROM (SELECT a.code, a.unit, sum(b.debits - b.credits) AS stored, sum(coalesce(s.net, 0)) AS control
              FROM ledger_account a
              JOIN ledger_balance b ON b.account_id = a.id
              LEFT JOIN (SELECT account_id, sum(side * amount) AS net FROM ledger_line GROUP BY 1) s
                     ON s.account_id = a.id
             GROUP BY 1, 2) totals
     WHERE stored <> control
    UNION ALL
    SELECT 'I11', 'memo ' || unit, 'issued less outstanding: ' || sum(side * amount)
      FROM ledger_line l JOIN ledger_account a USING (unit) WHERE a.id = l.account_id AND a.memo
     GROUP BY unit HAVING sum(side * amount) <> 0
    UNION ALL
    -- I12: what an entry takes from a grant is what its draws say
    SELECT 'I12', 'entry ' || entry_id || ' grant account ' || account_id, 'lines less draws: ' || sum(signed)
      FROM (SELECT l.entry_id, l.account_id, sum(l.side * l.amount) AS signed
              FROM ledger_line l
              JOIN ledger_entry e ON e.id = l.entry_id
              JOIN ledger_event_type t ON t.code = e.event_type AND t.draws_credit
              JOIN ledger_account a ON a.id = l.account_id AND a.for_grant GROUP BY 1, 2
            UNION ALL
            SELECT d.entry_id, g.account_id, -sum(al.amount)
              FROM ledger_credit_draw d
              JOIN ledger_credit_draw_allocation al ON al.draw_id = d.id
              JOIN ledger_credit_grant g ON g.id = al.grant_id GROUP BY 1, 2) sides
     GROUP BY entry_id, account_id HAVING sum(signed) <> 0
    UNION ALL
    SELECT 'I12', 'draw ' || d.id, 'took ' || (d.amount - d.shortfall) || ', allocated ' || coalesce(sum(al.amount), 0)
      FROM ledger_credit_draw d LEFT JOIN ledger_credit_draw_allocation al ON al.draw_id = d.id
     GROUP BY d.id HAVING coalesce(sum(al.amount), 0) <> d.amount - d.shortfall
    UNION ALL
    -- I10: a grant is what remains of it and what was used, expired and voided, exactly
    SELECT 'I10', 'grant ' || g.id, 'granted ' || g.amount || ', remaining ' || (b.normal_side * (b.debits - b.credits))
                 || ', left by lines ' || p.gone
      FROM ledger_credit_grant g
      JOIN ledger_balance b ON b.account_id = g.account_id
      JOIN (SELECT l.account_id,
                   coalesce(sum(l.side * l.amount) FILTER (WHERE l.account_version > 1), 0) AS gone,
                   sum(-l.side * l.amount) FILTER (WHERE l.account_version = 1) AS issued
              FROM ledger_line l JOIN ledger_account a ON a.id = l.account_id AND a.for_grant GROUP BY 1) p
           ON p.account_id = g.account_id
     WHERE p.issued <> g.amount OR b.normal_side * (b.debits - b.credits) + p.gone <> g.amount
    UNION ALL
    -- ROLLUP: the roll-ups are what the rolled-up lines add up to, by account and by code
    SELECT 'ROLLUP', 'account ' || account_id || ' ' || effective_on || ' written ' || recorded_on,
           'rolled up less lines: debits ' || sum(debits) || ', credits ' || sum(credits) || ', lines ' || sum(lines)
      FROM (SELECT account_id, effective_on, recorded_on, debits, credits, lines FROM ledger_account_day
             WHERE ledger_rollups_in_use()
            UNION ALL
            SELECT l.account_id, l.effective_on, (e.recorded_at AT TIME ZONE k.timezone)::date,
                   CASE l.side WHEN 1 THEN -l.amount ELSE 0 END, CASE l.side WHEN -1 THEN -l.amount ELSE 0 END, -1
              FROM ledger_line l
              JOIN ledger_entry e ON e.id = l.entry_id
              JOIN ledger_book k ON k.id = e.book_id
             WHERE ledger_rollups_in_use() AND l.entry_id NOT IN (SELECT id FROM ledger_unrolled_entries())) both_sides
     GROUP BY account_id, effective_on, recorded_on HAVING (sum(debits), sum(credits), sum(lines)) <> (0, 0, 0)
    UNION ALL
    SELECT 'ROLLUP', 'code ' || code || ' ' || unit || ' ' || effective_on || ' written ' || recorded_on,
           'by code less by account: debits ' || sum(debits) || ', credits ' || sum(credits) || ', lines ' || sum(lines)
      FROM (SELECT code, unit, effective_on, recorded_on, debits, credits, lines FROM ledger_code_day
            UNION ALL
            SELECT a.code, a.unit, d.effective_on, d.recorded_on, -d.debits, -d.credits, -d.lines
              FROM ledger_account_day d JOIN ledger_account a ON a.id = d.account_id) both_sides
     GROUP BY code, unit, effective_on, recorded_on HAVING (sum(debits), sum(credits), sum(lines)) <> (0, 0, 0)
) violation LIMIT %(limit)s

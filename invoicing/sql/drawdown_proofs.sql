-- What:       where usage that settles by drawdown is not rated = drawn + owed, by item and period, to the last digit,
--             recomputed from the ledger's draws, returns and lines; no row is a proof
-- Called by:  invoicing/drawdowns.py (tests, and nightly)
-- Parameters: %(at)s timestamptz, %(limit)s int
SELECT * FROM (
    SELECT 'drawdown ' || d.id AS subject,
           'rated ' || d.rated || ', drawn ' || coalesce(s.drawn, 0) || ', owed ' || coalesce(s.owed, 0)
           || ', accounted ' || d.accounted AS detail
      FROM invoicing_drawdown d
      LEFT JOIN (
        SELECT u.drawdown_id, count(*) AS steps, sum(coalesce(dr.amount - dr.shortfall, r.overage - r.amount)) AS drawn,
               sum(coalesce(dr.overage, 0) - coalesce(r.overage_money, 0)) AS owed,
               sum(u.drawn) AS stated_drawn, sum(u.overage) AS stated_owed
          FROM invoicing_usagedraw u
          LEFT JOIN ledger_credit_draw dr ON dr.id = u.draw_id
          LEFT JOIN ledger_credit_return r ON r.id = u.returned_id
         GROUP BY 1) s ON s.drawdown_id = d.id
     WHERE (d.accounted, d.steps, coalesce(s.drawn, 0), coalesce(s.owed, 0))
           IS DISTINCT FROM (coalesce(s.drawn, 0) + coalesce(s.owed, 0), coalesce(s.steps, 0)::int,
                             coalesce(s.stated_drawn, 0), coalesce(s.stated_owed, 0))
        -- A correction of very many draws takes several transactions, a few seconds each.
        OR d.accounted <> d.rated AND d.rated_at < %(at)s - interval '1 hour'
    UNION ALL
    SELECT 'draw ' || d.id, 'was made for metered usage, ' || d.amount || ', and no period has it'
      FROM ledger_credit_draw d
     WHERE d.idempotency_key LIKE 'metered:%%' AND NOT EXISTS (SELECT FROM invoicing_usagedraw WHERE draw_id = d.id)
    UNION ALL
    SELECT 'return ' || r.id, 'gave back ' || r.amount || ' of a draw for metered usage, and no period has it'
      FROM ledger_credit_return r
      JOIN invoicing_usagedraw u ON u.draw_id = r.draw_id
     WHERE NOT EXISTS (SELECT FROM invoicing_usagedraw WHERE returned_id = r.id)
    UNION ALL
    SELECT 'entry ' || e.reverses_id, 'drew for metered usage and was reversed by entry ' || e.id
      FROM ledger_entry e WHERE EXISTS (SELECT FROM invoicing_usagedraw WHERE entry_id = e.reverses_id)
    UNION ALL
    SELECT 'entry ' || u.entry_id, 'put ' || coalesce(l.owed, 0) || ' on unbilled use, its draws say ' || u.owed
      FROM (SELECT entry_id, sum(overage) AS owed FROM invoicing_usagedraw GROUP BY 1) u
      LEFT JOIN LATERAL (
        SELECT sum(l.side * l.amount) AS owed FROM ledger_line l JOIN ledger_account a ON a.id = l.account_id
         WHERE l.entry_id = u.entry_id AND a.code = '1110') l ON true
     WHERE coalesce(l.owed, 0) <> u.owed
    UNION ALL
    SELECT 'line ' || l.id, 'bills usage that is drawn as it arrives'
      FROM invoicing_invoiceline l JOIN plans_price p ON p.id = l.price_id
     WHERE l.kind = 'usage' AND p.settlement = 'drawdown'
    UNION ALL
    SELECT 'accrual ' || a.id, 'accrues usage that is drawn as it arrives'
      FROM invoicing_accrual a
      JOIN plans_subscriptionitem i ON i.id = a.item_id
      JOIN plans_price p ON p.id = i.price_id AND p.settlement = 'drawdown'
) found
ORDER BY subject
LIMIT %(limit)s

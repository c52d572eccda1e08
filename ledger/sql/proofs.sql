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
      JOIN ledger_entry u ON u.id = e.reverses_id
     WHERE (l.account_id, l.side, l.amount) IS DISTINCT FROM (o.account_id, (-o.side)::smallint, o.amount)
           -- the money of an expiry that is undone is what its units are worth now, to the last digit
       AND (l.account_id = o.account_id AND l.side = -o.side AND u.event_type = 'credit.expired' AND u.fx_rate IS NOT NULL
            AND l.unit ~ '^[A-Z]{3}$' AND abs(l.amount - o.amount) = 0.000000000001) IS NOT TRUE
    UNION ALL
    -- I8: one entry a key
    SELECT 'I8', source || ' ' || idempotency_key, 'has ' || count(*) || ' entries'
      FROM ledger_entry GROUP BY source, idempotency_key HAVING count(*) > 1
    UNION ALL
    -- I13: no entry was recorded while its period was closed, nor while it was soft-closed unless it adjusts, by a person
    -- with a reason; each entry lies in its period
    SELECT 'I13', 'entry ' || e.id, 'recorded ' || e.recorded_at || ' while its period was ' || shut.to_status
      FROM (SELECT period_id, to_status, recorded_at AS since,
                   lead(recorded_at, 1, 'infinity') OVER (PARTITION BY period_id ORDER BY id) AS until
              FROM ledger_period_change) shut
      JOIN ledger_entry e ON e.period_id = shut.period_id AND e.recorded_at >= shut.since AND e.recorded_at < shut.until
      LEFT JOIN ledger_event_type t ON t.code = e.event_type
     WHERE shut.to_status = 'closed'
        OR shut.to_status = 'soft_closed' AND (t.adjusts AND e.actor_type = 'user' AND e.reason_code <> '') IS NOT TRUE
    UNION ALL
    SELECT 'I13', 'entry ' || e.id, 'is dated ' || e.effective_on || ', outside of its period'
      FROM ledger_entry e LEFT JOIN ledger_period p ON p.id = e.period_id
     WHERE (e.effective_on >= p.starts_on AND e.effective_on < p.ends_before) IS NOT TRUE
    UNION ALL
    -- PERIOD: a period's status is what its unbroken history says, and what was reopened was approved by another person
    SELECT 'PERIOD', 'period ' || p.id, 'is ' || p.status || ', its history says ' || coalesce(c.to_status, 'open')
      FROM ledger_period p
      LEFT JOIN LATERAL (SELECT * FROM ledger_period_change WHERE period_id = p.id ORDER BY id DESC LIMIT 1) c ON true
     WHERE (p.status, p.changed_at) IS DISTINCT FROM (coalesce(c.to_status, 'open'), c.recorded_at)
    UNION ALL
    SELECT 'PERIOD', 'period change ' || id, 'is from ' || from_status || ' and follows ' || before
      FROM (SELECT *, lag(to_status, 1, 'open') OVER (PARTITION BY period_id ORDER BY id) AS before
              FROM ledger_period_change) c
     WHERE from_status <> before
    UNION ALL
    SELECT 'PERIOD', 'period change ' || c.id, 'reopened it without the approval of another person'
      FROM ledger_period_change c LEFT JOIN billing_ops_approval a ON a.id = c.approval_id
     WHERE c.to_status = 'open'
       AND (a.kind = 'period.reopen' AND a.status = 'approved' AND a.subject ->> 'period' = c.period_id::text
            AND a.used_for = 'period:' || c.period_id AND lower(a.decided_by_id) <> lower(a.requested_by_id)) IS NOT TRUE
    UNION ALL
    SELECT 'PERIOD', 'period ' || p.id, 'is not the calendar month, or not the closing, that it was'
      FROM ledger_period p
      LEFT JOIN LATERAL (SELECT * FROM ledger_period_change WHERE period_id = p.id ORDER BY id DESC LIMIT 1) c ON true
     WHERE p.starts_on <> date_trunc('month', p.starts_on)::date
        OR p.ends_before <> (p.starts_on + interval '1 month')::date
        OR p.closed_at IS DISTINCT FROM CASE WHEN c.to_status <> 'open' THEN c.at END
    UNION ALL
    -- CHART: what an account is follows from its code and unit, and its floor is its code's
    SELECT 'CHART', 'account ' || a.id, 'is not what its code ' || a.code || ' and its unit ' || a.unit || ' make it'
      FROM ledger_account a
      LEFT JOIN ledger_account_code c ON c.code = a.code
      LEFT JOIN ledger_unit u ON u.code = a.unit
      LEFT JOIN ledger_balance b ON b.account_id = a.id
     WHERE (a.normal_side = c.normal_side AND a.materialised = c.materialised AND a.memo = c.memo
            AND a.for_grant = (c.dimension = 'grant') AND (a.customer_key <> '') = c.takes_customer
            AND a.decimals = CASE WHEN c.exact THEN 12 ELSE u.posting_scale END
            AND a.materialised = (b.account_id IS NOT NULL)) IS NOT TRUE
        OR b.account_id IS NOT NULL
           AND (b.normal_side, b.min_available) IS DISTINCT FROM (a.normal_side, c.floor)
    UNION ALL
    SELECT 'CHART', 'unit ' || code, 'is no ' || kind || ' unit of ' || posting_scale || ' decimals'
      FROM ledger_unit
     WHERE (kind = 'fiat') <> (code ~ '^[A-Z]{3}$') OR kind = 'fiat' AND posting_scale <> ledger_currency_scale(code)
    UNION ALL
    -- ROUTED: each line is of its account's unit and scale, and its entry may send money there
    SELECT 'ROUTED', 'entry ' || l.entry_id || ' line ' || l.line_no, e.event_type || ' does not '
                     || CASE l.side WHEN 1 THEN 'debit ' ELSE 'credit ' END || l.amount || ' ' || l.unit || ' to ' || a.code
      FROM ledger_line l
      JOIN ledger_entry e ON e.id = l.entry_id
      LEFT JOIN ledger_account a ON a.id = l.account_id
      LEFT JOIN ledger_event_type t ON t.code = e.event_type
     WHERE (a.unit = l.unit AND l.amount > 0 AND l.amount = round(l.amount, a.decimals) AND l.effective_on = e.effective_on
            AND (e.reverses_id IS NOT NULL
                 OR a.code = ANY (CASE l.side WHEN 1 THEN t.allowed_debit ELSE t.allowed_credit END))) IS NOT TRUE
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
    -- I12: what an entry gives back to a grant is what its returns say, and of no draw comes back more than it took
    SELECT 'I12', 'entry ' || entry_id || ' grant account ' || account_id, 'lines less returns: ' || sum(signed)
      FROM (SELECT l.entry_id, l.account_id, -l.side * l.amount AS signed
              FROM ledger_line l
              JOIN ledger_entry e ON e.id = l.entry_id
              JOIN ledger_event_type t ON t.code = e.event_type AND t.returns_credit
              JOIN ledger_account a ON a.id = l.account_id AND a.for_grant
            UNION ALL
            SELECT r.entry_id, g.account_id, -al.amount
              FROM ledger_credit_return r
              JOIN ledger_credit_return_allocation al ON al.return_id = r.id
              JOIN ledger_credit_grant g ON g.id = al.grant_id) sides
     GROUP BY entry_id, account_id HAVING sum(signed) <> 0
    UNION ALL
    SELECT 'I12', 'draw ' || back.draw_id, 'gave back ' || back.amount || ' of ' || coalesce(al.amount, 0)
      FROM (SELECT r.draw_id, x.grant_id, sum(x.amount) AS amount
              FROM ledger_credit_return r
              JOIN ledger_credit_return_allocation x ON x.return_id = r.id GROUP BY 1, 2) back
      LEFT JOIN ledger_credit_draw_allocation al ON al.draw_id = back.draw_id AND al.grant_id = back.grant_id
     WHERE back.amount > coalesce(al.amount, 0)
    UNION ALL
    SELECT 'I12', 'return ' || r.id, 'is ' || r.amount || ', allocated ' || coalesce(sum(al.amount), 0) || ' and overage '
                 || r.overage
      FROM ledger_credit_return r LEFT JOIN ledger_credit_return_allocation al ON al.return_id = r.id
     GROUP BY r.id HAVING r.amount <> r.overage + coalesce(sum(al.amount), 0)
    UNION ALL
    -- I12: what is owed beyond credit is the overage of the entry's draws
    SELECT 'I12', 'entry ' || entry_id, 'overage posted less drawn: ' || sum(signed) || ' ' || unit
      FROM (SELECT l.entry_id, l.unit, l.side * l.amount AS signed
              FROM ledger_line l
              JOIN ledger_entry e ON e.id = l.entry_id AND e.event_type = 'credit.drawn'
              JOIN ledger_account a ON a.id = l.account_id AND a.code = '1110'
            UNION ALL
            SELECT entry_id, overage_currency, -overage FROM ledger_credit_draw WHERE overage IS NOT NULL) sides
     GROUP BY entry_id, unit HAVING sum(signed) <> 0
    UNION ALL
    -- I5: what is held of a grant is what its open holds keep
    SELECT 'I5', 'account ' || b.account_id, 'held ' || b.held || ', open holds ' || coalesce(open.amount, 0)
      FROM ledger_balance b
      LEFT JOIN (SELECT g.account_id, sum(al.amount) AS amount
                   FROM ledger_hold_allocation al
                   JOIN ledger_credit_grant g ON g.id = al.grant_id
                  WHERE NOT EXISTS (SELECT FROM ledger_hold_resolution r WHERE r.hold_id = al.hold_id)
                  GROUP BY 1) open ON open.account_id = b.account_id
     WHERE b.held <> coalesce(open.amount, 0)
    UNION ALL
    SELECT 'I5', 'hold ' || h.id, 'keeps ' || h.amount || ', allocated ' || coalesce(sum(al.amount), 0)
      FROM ledger_hold h LEFT JOIN ledger_hold_allocation al ON al.hold_id = h.id
     GROUP BY h.id HAVING h.amount <> coalesce(sum(al.amount), 0)
    UNION ALL
    SELECT 'I5', 'hold ' || coalesce(h.id, o.hold_id), 'is open in one place only'
      FROM (SELECT id FROM ledger_hold x
             WHERE NOT EXISTS (SELECT FROM ledger_hold_resolution r WHERE r.hold_id = x.id)) h
      FULL JOIN ledger_hold_open o ON o.hold_id = h.id
     WHERE h.id IS NULL OR o.hold_id IS NULL
    UNION ALL
    -- I5: a hold is one wallet's, keeps that wallet's grants, and is open until its own end
    SELECT 'I5', 'hold ' || h.id, 'is of another wallet or time than what it keeps'
      FROM ledger_hold h
      LEFT JOIN ledger_hold_open o ON o.hold_id = h.id
     WHERE (o.wallet_id, o.expires_at) IS DISTINCT FROM (h.wallet_id, h.expires_at) AND o.hold_id IS NOT NULL
        OR EXISTS (SELECT FROM ledger_hold_allocation al LEFT JOIN ledger_credit_grant g ON g.id = al.grant_id
                    WHERE al.hold_id = h.id
                      AND (g.wallet_id = h.wallet_id AND h.used_at >= g.effective_at
                           AND h.used_at < coalesce(g.expires_at, 'infinity')
                           AND (g.scope = '{}' OR h.feature = ANY (g.scope))) IS NOT TRUE)
    UNION ALL
    -- I6: a hold is settled for no more than it keeps, by its own draw that took as much
    SELECT 'I6', 'hold ' || r.hold_id, 'settled ' || r.amount || ' of ' || coalesce(h.amount, 0)
      FROM ledger_hold_resolution r
      LEFT JOIN ledger_hold h ON h.id = r.hold_id
      LEFT JOIN ledger_credit_draw d ON d.id = r.draw_id
     WHERE (r.amount <= h.amount AND (r.draw_id IS NULL OR d.amount - d.shortfall >= r.amount)
            AND (r.draw_id IS NULL OR d.idempotency_key = 'hold:' || h.public_id AND d.wallet_id = h.wallet_id)
            AND (r.kind <> 'lapsed' OR r.resolved_at >= h.expires_at)) IS NOT TRUE
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
    -- I10: the money beside a grant in a company's own unit is what its remaining quantity cost, in proportion
    SELECT 'I10', 'grant ' || g.id, 'money on ' || g.money_code || ': ' || coalesce(m.normal_side * (m.debits - m.credits), 0)
                 || ', for what remains: '
                 || ledger_money_left(g.cost_basis, g.amount, b.normal_side * (b.debits - b.credits))
      FROM ledger_credit_grant g
      JOIN ledger_balance b ON b.account_id = g.account_id
      LEFT JOIN ledger_account a ON a.customer_key = g.customer_key AND a.code = g.money_code
            AND a.dimension = g.public_id::text AND a.unit = g.currency
      LEFT JOIN ledger_balance m ON m.account_id = a.id
     WHERE g.money_code <> '' AND coalesce(m.normal_side * (m.debits - m.credits), 0)
           <> ledger_money_left(g.cost_basis, g.amount, b.normal_side * (b.debits - b.credits))
    UNION ALL
    -- I10: no credit expired before its time
    SELECT 'I10', 'grant ' || g.id, 'is booked as expired by entry ' || e.id || ' before its time'
      FROM ledger_entry e
      JOIN ledger_line l ON l.entry_id = e.id AND l.side = 1
      JOIN ledger_credit_grant g ON g.account_id = l.account_id
     WHERE e.event_type = 'credit.expired' AND (e.effective_at >= g.expires_at) IS NOT TRUE
    UNION ALL
    -- I10: no more credit was bought than was invoiced for credit
    SELECT 'I10', 'account ' || a.id, 'bought for ' || sum(l.side * l.amount) || ' ' || a.unit || ' more than invoiced'
      FROM ledger_account a JOIN ledger_line l ON l.account_id = a.id
     WHERE a.code = '2050' GROUP BY a.id, a.unit HAVING sum(l.side * l.amount) > 0
    UNION ALL
    -- I10: what a moved grant was given is what left the grant that it names
    SELECT 'I10', 'grant ' || g.from_grant_id, 'moved out ' || sum(out.amount) || ', arrived ' || sum(g.amount)
      FROM ledger_credit_grant g
      JOIN ledger_line i ON i.account_id = g.account_id AND i.account_version = 1
      JOIN ledger_credit_grant o ON o.id = g.from_grant_id
      LEFT JOIN ledger_line out ON out.entry_id = i.entry_id AND out.account_id = o.account_id
     GROUP BY g.from_grant_id HAVING sum(out.amount) IS DISTINCT FROM sum(g.amount)
    UNION ALL
    -- APPROVED: an entry that needs an approval has one that another person gave, and that was used for it alone
    SELECT 'APPROVED', 'entry ' || e.id, CASE WHEN a.id IS NULL THEN 'has no approval' ELSE 'names approval ' || a.id
                 || ', ' || a.status || ' and used for ' || coalesce(nullif(a.used_for, ''), 'nothing') END
      FROM ledger_entry e
      LEFT JOIN ledger_entry undone ON undone.id = e.reverses_id
      JOIN ledger_event_type t ON t.code = coalesce(undone.event_type, e.event_type)
      LEFT JOIN billing_ops_approval a ON a.id = e.approval_id
     WHERE (e.approval_id IS NOT NULL OR t.needs_approval)
       AND (a.status = 'approved' AND a.used_for = 'entry:' || e.public_id
            AND a.decided_by_id <> a.requested_by_id) IS NOT TRUE
    UNION ALL
    SELECT 'APPROVED', 'approval ' || id, 'its hash is not that of its content'
      FROM billing_ops_approval WHERE content_hash <> encode(sha256(convert_to(subject::text, 'UTF8')), 'hex')
    UNION ALL
    -- LIMITED: since there are limits, what a person or a key gave was approved or counts against them as it was given
    SELECT 'LIMITED', 'grant ' || g.id, 'given by ' || g.requested_by_type || ' ' || g.requested_by_id || ' on no authority'
      FROM ledger_credit_grant g
      JOIN ledger_line l ON l.account_id = g.account_id AND l.account_version = 1
      JOIN ledger_entry e ON e.id = l.entry_id AND e.event_type = 'credit.granted'
      LEFT JOIN ledger_limit_use u ON u.grant_id = g.id
     WHERE g.requested_by_type IN ('user', 'api_key') AND g.approval_id IS NULL
       AND e.recorded_at > (SELECT min(recorded_at) FROM ledger_credit_limit)
       AND ((u.amount, u.unit, u.agent_type, u.agent_id, u.customer_key, u.given_at)
            IS DISTINCT FROM (g.amount, g.unit, g.requested_by_type, g.requested_by_id, g.customer_key, g.created_at)
            OR g.created_at <> e.effective_at
            OR g.amount > ALL (SELECT m.per_credit FROM ledger_credit_limit m
                                WHERE m.role = u.role AND m.unit = u.unit AND m.valid_from <= u.given_at))
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

-- what:       the guarantees of draws, of what is given back and of holds; they stand whoever writes
-- called by:  migration 0008_holds_and_draws
-- parameters: none
--
-- As in 0002_guards: set-based statement triggers in place of foreign keys and row triggers, index look-ups by
-- construction (LATERAL … OFFSET 0) or by setting, each refusal under the name of its rule. Plans are generic: to make
-- one for each batch would cost more than to run it.

-- Draws ---------------------------------------------------------------------------------------------------------------

-- One row a statement and entry until that entry is there: its deferred check looks once for a batch of draws.
CREATE UNLOGGED TABLE ledger_awaiting_entry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id bigint NOT NULL,
    gives_back boolean NOT NULL
);

CREATE FUNCTION ledger_awaited_entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- Of this transaction: another's entry, not visible while it was posted, was compared with its own draws only.
    IF NOT EXISTS (SELECT FROM ledger_entry e JOIN ledger_event_type t ON t.code = e.event_type
                    WHERE e.id = NEW.entry_id AND e.created_xid = pg_current_xact_id()
                      AND CASE WHEN NEW.gives_back THEN t.returns_credit ELSE t.draws_credit END) THEN
        PERFORM ledger_refuse(CASE WHEN NEW.gives_back THEN 'ledger_return_posted' ELSE 'ledger_draw_posted' END,
            format('Entry %s, under which credit was %s, is not posted as one that does.', NEW.entry_id,
                   CASE WHEN NEW.gives_back THEN 'given back' ELSE 'drawn' END));
    END IF;
    DELETE FROM ledger_awaiting_entry WHERE id = NEW.id;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_awaited_entry AFTER INSERT ON ledger_awaiting_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_awaited_entry();

DROP TRIGGER ledger_draw_posted ON ledger_credit_draw;
DROP FUNCTION ledger_draw_posted();

CREATE OR REPLACE FUNCTION ledger_draw_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    entries bigint[];
    wallets bigint[];
    now_recorded boolean;
BEGIN
    SELECT array_agg(DISTINCT n.entry_id) FILTER (WHERE n.entry_id IS NOT NULL), array_agg(DISTINCT n.wallet_id),
           bool_and(n.recorded_at >= now() - interval '1 second'
                    AND n.recorded_at <= clock_timestamp() + interval '1 second')
      INTO entries, wallets, now_recorded FROM n;
    IF EXISTS (SELECT FROM unnest(wallets) AS w (id)
                WHERE NOT EXISTS (SELECT FROM ledger_credit_wallet x WHERE x.id = w.id)) THEN
        PERFORM ledger_refuse('ledger_draw_wallet', 'A draw belongs to a wallet; there is none with that id.');
    END IF;
    IF EXISTS (SELECT FROM ledger_entry WHERE id = ANY (entries)) THEN
        PERFORM ledger_refuse('ledger_draw_before_entry', 'A draw is written before its entry; this entry is there.');
    END IF;
    IF NOT now_recorded THEN
        PERFORM ledger_refuse('ledger_draw_recorded_now', 'A draw is recorded when it is written.');
    END IF;
    INSERT INTO ledger_awaiting_entry (entry_id, gives_back) SELECT id, false FROM unnest(entries) AS e (id);
    RETURN NULL;
END $$;

-- A draw's allocations come in one statement, whole, from grants that may pay for it, before its entry.
CREATE OR REPLACE FUNCTION ledger_allocation_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = on SET enable_mergejoin = off SET enable_seqscan = on
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    eligible boolean;
    whole boolean;
    entries bigint[];
    low bigint;
    high bigint;
    rows bigint;
BEGIN
    WITH g AS MATERIALIZED (
        SELECT x.* FROM (SELECT DISTINCT grant_id FROM n) used
         CROSS JOIN LATERAL (SELECT id, wallet_id, effective_at, coalesce(expires_at, 'infinity') AS expires_at, scope
                               FROM ledger_credit_grant WHERE id = used.grant_id OFFSET 0) x),
    j AS (
        SELECT n.draw_id, n.amount, d.entry_id, d.took,
               (g.wallet_id = d.wallet_id AND d.used_at >= g.effective_at AND d.used_at < g.expires_at
                AND (g.scope = '{}' OR d.feature = ANY (g.scope))) IS TRUE AS fine
          FROM n
          LEFT JOIN LATERAL (SELECT wallet_id, entry_id, used_at, feature, amount - shortfall AS took
                               FROM ledger_credit_draw WHERE id = n.draw_id OFFSET 0) d ON true
          LEFT JOIN g ON g.id = n.grant_id)
    SELECT bool_and(w.fine), bool_and(w.whole), array_agg(DISTINCT w.entry_id), min(w.draw_id), max(w.draw_id), sum(w.rows)
      INTO eligible, whole, entries, low, high, rows
      FROM (SELECT bool_and(j.fine) AND min(j.entry_id) IS NOT NULL AS fine, sum(j.amount) = min(j.took) AS whole,
                   min(j.entry_id) AS entry_id, j.draw_id, count(*) AS rows
              FROM j GROUP BY j.draw_id) w;
    IF NOT eligible OR EXISTS (SELECT FROM ledger_entry WHERE id = ANY (entries)) THEN
        PERFORM ledger_refuse('ledger_allocation_eligible',
            'A draw takes only from grants of its wallet that are in force and in scope, and only before its entry.');
    END IF;
    -- No draw had some before: twice as many of one draw would stand for none of another.
    SET LOCAL enable_seqscan = off; -- until this function returns
    IF NOT whole OR rows <> (SELECT count(*) FROM (SELECT draw_id FROM ledger_credit_draw_allocation
                                                    WHERE draw_id BETWEEN low AND high OFFSET 0) a
                              WHERE a.draw_id IN (SELECT n.draw_id FROM n)) THEN
        PERFORM ledger_refuse('ledger_allocation_whole', 'The allocations of a draw add up to what it took.');
    END IF;
    RETURN NULL;
END $$;

-- Lock the wallets that are there, in the order of their ids (two JSON arrays side by side).
CREATE FUNCTION ledger_lock_wallets(customers json, units json)
RETURNS TABLE (customer_key text, unit text, wallet_id bigint) LANGUAGE plpgsql SECURITY DEFINER ROWS 10
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT w.customer_key::text, w.unit::text, w.id
      FROM (SELECT found.id
              FROM ROWS FROM (json_array_elements_text(customers), json_array_elements_text(units))
                   AS k (customer, unit)
             CROSS JOIN LATERAL (SELECT x.id FROM ledger_credit_wallet x
                                  WHERE x.customer_key = k.customer AND x.unit = k.unit OFFSET 0) found
             ORDER BY found.id) wanted
     CROSS JOIN LATERAL (SELECT * FROM ledger_credit_wallet x WHERE x.id = wanted.id FOR NO KEY UPDATE OFFSET 0) w;
END $$;

-- Returns -------------------------------------------------------------------------------------------------------------

CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_credit_return
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_credit_return_allocation
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE FUNCTION ledger_return_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF EXISTS (SELECT FROM n LEFT JOIN ledger_credit_draw d ON d.id = n.draw_id
                WHERE (d.wallet_id = n.wallet_id AND d.entry_id IS NOT NULL) IS NOT TRUE) THEN
        PERFORM ledger_refuse('ledger_return_draw', 'Given back is what a draw of the same wallet took.');
    END IF;
    IF EXISTS (SELECT FROM n JOIN ledger_entry e ON e.id = n.entry_id) THEN
        PERFORM ledger_refuse('ledger_return_before_entry',
            'A return is written before its entry, and this entry is there.');
    END IF;
    INSERT INTO ledger_awaiting_entry (entry_id, gives_back) SELECT DISTINCT entry_id, true FROM n;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_return_guard AFTER INSERT ON ledger_credit_return
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_return_guard();

CREATE FUNCTION ledger_return_allocation_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF EXISTS (SELECT FROM n
                 LEFT JOIN ledger_credit_return r ON r.id = n.return_id
                 LEFT JOIN ledger_credit_draw_allocation t ON t.draw_id = r.draw_id AND t.grant_id = n.grant_id
                 LEFT JOIN ledger_entry e ON e.id = r.entry_id
                WHERE (n.amount <= t.amount AND e.id IS NULL) IS NOT TRUE) THEN
        PERFORM ledger_refuse('ledger_return_allocation',
            'Credit goes back to the grants it was drawn from, no more than was drawn, before its entry.');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_return_allocation_guard AFTER INSERT ON ledger_credit_return_allocation
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_return_allocation_guard();

-- Lines ---------------------------------------------------------------------------------------------------------------
-- As before, and: draws are compared in one pass, with their overage; what is given back is accounted for by returns;
-- both concern one customer; and the money beside a company's own units keeps its proportion to what remains of them.

CREATE OR REPLACE FUNCTION ledger_line_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = on SET enable_mergejoin = on SET enable_seqscan = on
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    fine boolean;
    draws boolean;
    returns boolean;
    units boolean;
    bad record;
    entries bigint[];
    wrong bigint;
    low bigint;
    high bigint;
BEGIN
    -- All rules at once, for entries in one unit.
    SELECT bool_and(w.fine), bool_or(w.draws), bool_or(w.returns), bool_or(w.units)
      INTO fine, draws, returns, units FROM (
        SELECT bool_and(j.fine) AND sum(j.signed) = 0 AND coalesce(sum(j.signed) FILTER (WHERE j.memo), 0) = 0
               AND count(*) = min(j.line_count) AND min(j.line_no) = 1 AND max(j.line_no) = count(*) AS fine,
               bool_or(j.draws_credit) AS draws, bool_or(j.returns_credit) AS returns, bool_or(j.units) AS units
          FROM (SELECT n.entry_id, n.line_no, n.unit, CASE n.side WHEN 1 THEN n.amount ELSE -n.amount END AS signed,
                       a.memo, e.line_count, t.draws_credit, t.returns_credit,
                       a.code IN ('9110', '2005', '2015', '2025') AS units,
                       (a.unit = n.unit AND a.book_id = e.book_id AND a.status = 'open'
                        AND n.effective_on = e.effective_on
                        AND a.materialised = (n.account_version IS NOT NULL)
                        AND a.materialised = (n.balance_after IS NOT NULL)
                        AND (a.decimals >= 12 OR n.amount = round(n.amount, a.decimals))
                        AND e.reverses_id IS NULL
                        AND a.code = ANY (CASE n.side WHEN 1 THEN t.allowed_debit ELSE t.allowed_credit END)
                        AND (NOT a.for_grant OR n.side = 1 OR n.account_version = 1 OR t.returns_credit)) IS TRUE
                           AS fine
                  FROM n
                  LEFT JOIN LATERAL (SELECT book_id, event_type, line_count, effective_on, reverses_id
                                       FROM ledger_entry WHERE id = n.entry_id OFFSET 0) e ON true
                  LEFT JOIN ledger_event_type t ON t.code = e.event_type
                  LEFT JOIN LATERAL (SELECT unit, book_id, status, materialised, decimals, code, for_grant, memo
                                       FROM ledger_account WHERE id = n.account_id OFFSET 0) a ON true) j
         GROUP BY j.entry_id, j.unit) w;
    IF fine AND NOT draws AND NOT returns AND NOT units THEN
        RETURN NULL;
    END IF;
    SET LOCAL enable_hashjoin = off; -- until this function returns
    SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_seqscan = off;
    IF draws THEN
        -- What credit pays for is drawn: per entry and grant the debit is the sum of the allocations, and what is owed
        -- beyond credit is the draws' overage. Each draw's allocations are whole (ledger_allocation_guard), so equal
        -- totals leave no draw without. Draws of one entry have ids beside each other: their allocations are one range.
        SELECT array_agg(DISTINCT n.entry_id) INTO entries
          FROM n JOIN ledger_entry e ON e.id = n.entry_id JOIN ledger_event_type t ON t.code = e.event_type
         WHERE t.draws_credit;
        SELECT min(d.id), max(d.id) INTO low, high
          FROM (SELECT id FROM ledger_credit_draw WHERE entry_id = ANY (entries) OFFSET 0) d;
        SET LOCAL enable_hashjoin = on;
        WITH d AS MATERIALIZED (
            SELECT id, entry_id, amount - shortfall AS took, overage, overage_currency
              FROM ledger_credit_draw WHERE entry_id = ANY (entries)),
        taken AS MATERIALIZED (
            SELECT d.entry_id, x.grant_id, sum(x.amount) AS amount
              FROM (SELECT draw_id, grant_id, amount FROM ledger_credit_draw_allocation
                     WHERE draw_id BETWEEN low AND high OFFSET 0) x
              JOIN d ON d.id = x.draw_id GROUP BY 1, 2),
        posted AS MATERIALIZED (
            SELECT n.entry_id, n.account_id, n.unit, n.amount, n.side, a.for_grant,
                   a.code = '1110' AND e.event_type = 'credit.drawn' AS owed, nullif(a.customer_key, '') AS customer_key
              FROM n
             CROSS JOIN LATERAL (SELECT for_grant, code, customer_key FROM ledger_account WHERE id = n.account_id OFFSET 0) a
             CROSS JOIN LATERAL (SELECT event_type FROM ledger_entry WHERE id = n.entry_id OFFSET 0) e
             WHERE n.entry_id = ANY (entries))
        SELECT entry_id INTO wrong FROM (
            SELECT entry_id FROM (
                SELECT entry_id, account_id, amount AS signed FROM posted WHERE for_grant
                UNION ALL
                SELECT t.entry_id, g.account_id, -t.amount FROM taken t
                 CROSS JOIN LATERAL (SELECT account_id FROM ledger_credit_grant WHERE id = t.grant_id OFFSET 0) g
            ) both_sides GROUP BY entry_id, account_id HAVING sum(signed) <> 0
            UNION ALL
            SELECT entry_id FROM (
                SELECT entry_id, took AS signed FROM d UNION ALL SELECT entry_id, -amount FROM taken
            ) both_sides GROUP BY entry_id HAVING sum(signed) <> 0
            UNION ALL
            SELECT entry_id FROM (
                SELECT entry_id, unit, side * amount AS signed FROM posted WHERE owed
                UNION ALL
                SELECT entry_id, overage_currency, -overage FROM d WHERE overage IS NOT NULL
            ) both_sides GROUP BY entry_id, unit HAVING sum(signed) <> 0
            UNION ALL -- nobody's credit pays for another's use: that is a transfer
            SELECT entry_id FROM posted GROUP BY entry_id HAVING min(customer_key) <> max(customer_key)
        ) violation LIMIT 1;
        SET LOCAL enable_hashjoin = off;
        IF wrong IS NOT NULL THEN
            PERFORM ledger_refuse('ledger_line_drawn',
                format('Entry %s takes from credits what its draws do not say.', wrong));
        END IF;
    END IF;
    IF returns THEN
        -- What is given back: per entry and grant the credit is the sum of the returns; and of no draw more comes back
        -- than it took. The balances are locked first: what another gave back to these grants is then seen.
        SELECT array_agg(DISTINCT n.entry_id) INTO entries
          FROM n JOIN ledger_entry e ON e.id = n.entry_id JOIN ledger_event_type t ON t.code = e.event_type
         WHERE t.returns_credit;
        PERFORM count(*) FROM ledger_lock_balances((
            SELECT array_agg(DISTINCT account_id) FROM n
             WHERE entry_id = ANY (entries) AND account_version IS NOT NULL));
        SELECT entry_id INTO wrong FROM (
            SELECT entry_id FROM (
                SELECT n.entry_id, n.account_id, n.side * n.amount AS signed
                  FROM n JOIN ledger_account a ON a.id = n.account_id
                 WHERE a.for_grant AND n.entry_id = ANY (entries)
                UNION ALL
                SELECT r.entry_id, g.account_id, al.amount
                  FROM ledger_credit_return r
                  JOIN ledger_credit_return_allocation al ON al.return_id = r.id
                  JOIN ledger_credit_grant g ON g.id = al.grant_id
                 WHERE r.entry_id = ANY (entries)) both_sides
             GROUP BY entry_id, account_id HAVING sum(signed) <> 0
            UNION ALL
            SELECT entry_id FROM (
                SELECT n.entry_id, n.unit, n.side * n.amount AS signed
                  FROM n JOIN ledger_account a ON a.id = n.account_id
                 WHERE a.code = '1110' AND n.entry_id = ANY (entries)
                UNION ALL
                SELECT r.entry_id, d.overage_currency, r.overage_money
                  FROM ledger_credit_return r JOIN ledger_credit_draw d ON d.id = r.draw_id
                 WHERE r.entry_id = ANY (entries) AND r.overage_money > 0) both_sides
             GROUP BY entry_id, unit HAVING sum(signed) <> 0
            UNION ALL
            SELECT r.entry_id
              FROM ledger_credit_return r LEFT JOIN ledger_credit_return_allocation al ON al.return_id = r.id
             WHERE r.entry_id = ANY (entries)
             GROUP BY r.id HAVING r.amount <> r.overage + coalesce(sum(al.amount), 0)
            UNION ALL
            SELECT n.entry_id FROM n JOIN ledger_account a ON a.id = n.account_id AND a.customer_key <> ''
             WHERE n.entry_id = ANY (entries)
             GROUP BY n.entry_id HAVING min(a.customer_key) <> max(a.customer_key)
        ) violation LIMIT 1;
        IF FOUND THEN
            PERFORM ledger_refuse('ledger_line_returned',
                format('Entry %s gives credit back that its returns do not say.', wrong));
        END IF;
        SELECT r.draw_id INTO wrong
          FROM ledger_credit_return r
          JOIN ledger_credit_draw d ON d.id = r.draw_id
         WHERE r.entry_id = ANY (entries)
           AND (EXISTS (
                SELECT FROM (SELECT al.grant_id, sum(al.amount) AS amount
                               FROM ledger_credit_return o
                               JOIN ledger_credit_return_allocation al ON al.return_id = o.id
                              WHERE o.draw_id = d.id GROUP BY 1) back
                  LEFT JOIN ledger_credit_draw_allocation t ON t.draw_id = d.id AND t.grant_id = back.grant_id
                 WHERE back.amount > coalesce(t.amount, 0))
            OR (SELECT sum(o.overage) > CASE WHEN d.overage IS NULL THEN 0 ELSE d.shortfall END
                       OR sum(o.overage_money) <> coalesce(d.overage - ledger_money_left(d.overage, d.shortfall,
                                                               d.shortfall - sum(o.overage)), 0)
                  FROM ledger_credit_return o WHERE o.draw_id = d.id)
            OR EXISTS (SELECT FROM ledger_entry u WHERE u.reverses_id = d.entry_id))
         LIMIT 1;
        IF FOUND THEN
            PERFORM ledger_refuse('ledger_return_of_draw',
                format('Of draw %s more would be given back than it took.', wrong));
        END IF;
    END IF;
    IF units THEN
        -- What stands beside the quantity that is left after these lines; a grant that is not there yet is looked at
        -- when it is written. Who moves the same grant at this moment meets its version.
        SELECT g.public_id::text, g.money_code INTO bad
          FROM (SELECT DISTINCT CASE WHEN a.dimension ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                                     THEN a.dimension::uuid END AS public_id
                  FROM n CROSS JOIN LATERAL (SELECT code, dimension FROM ledger_account WHERE id = n.account_id OFFSET 0) a
                 WHERE a.code IN ('9110', '2005', '2015', '2025')) touched
         CROSS JOIN LATERAL (SELECT * FROM ledger_credit_grant WHERE public_id = touched.public_id OFFSET 0) g
         CROSS JOIN LATERAL (SELECT credits - debits AS net FROM ledger_balance WHERE account_id = g.account_id OFFSET 0) q
          LEFT JOIN LATERAL (SELECT id FROM ledger_account
                              WHERE customer_key = g.customer_key AND code = g.money_code
                                AND dimension = g.public_id::text AND unit = g.currency OFFSET 0) a ON true
          LEFT JOIN LATERAL (SELECT credits - debits AS net FROM ledger_balance WHERE account_id = a.id OFFSET 0) m ON true
         CROSS JOIN LATERAL (SELECT coalesce(sum(-n.side * n.amount) FILTER (WHERE n.account_id = g.account_id), 0) AS units,
                                    coalesce(sum(-n.side * n.amount) FILTER (WHERE n.account_id = a.id), 0) AS money
                               FROM n) moved
         WHERE g.money_code <> ''
           AND coalesce(m.net, 0) + moved.money <> ledger_money_left(g.cost_basis, g.amount, q.net + moved.units)
         LIMIT 1;
        IF FOUND THEN
            PERFORM ledger_refuse('ledger_line_units_money',
                format('The money of credit %s on %s would not be that of what remains of it.', bad.public_id,
                       bad.money_code));
        END IF;
    END IF;
    IF fine THEN
        RETURN NULL;
    END IF;
    -- A reversal gives back whole what was drawn: not what was given back already. What was given back is drawn again.
    SELECT array_agg(DISTINCT e.id) FILTER (WHERE t.draws_credit), min(e.id) FILTER (WHERE t.returns_credit)
      INTO entries, wrong
      FROM (SELECT DISTINCT entry_id FROM n) x
      JOIN ledger_entry e ON e.id = x.entry_id AND e.reverses_id IS NOT NULL
      JOIN ledger_entry o ON o.id = e.reverses_id
      JOIN ledger_event_type t ON t.code = o.event_type;
    IF wrong IS NOT NULL THEN
        PERFORM ledger_refuse('ledger_return_stays', format('Entry %s would reverse what gave credit back.', wrong));
    END IF;
    IF entries IS NOT NULL THEN
        PERFORM count(*) FROM ledger_lock_balances((
            SELECT array_agg(DISTINCT account_id) FROM n
             WHERE entry_id = ANY (entries) AND account_version IS NOT NULL));
        SELECT d.id INTO wrong
          FROM ledger_entry e
          JOIN ledger_credit_draw d ON d.entry_id = e.reverses_id
          JOIN ledger_credit_return r ON r.draw_id = d.id
         WHERE e.id = ANY (entries) LIMIT 1;
        IF FOUND THEN
            PERFORM ledger_refuse('ledger_return_of_draw',
                format('Of draw %s something was given back: it is not reversed whole.', wrong));
        END IF;
    END IF;
    -- Not all is plain: reversals and entries across units are looked at rule by rule, and what is wrong is named. The
    -- money of an expiry that is undone is what its units are worth now: the last of its twelve digits may be another.
    WITH j AS MATERIALIZED (
        SELECT n.entry_id, n.line_no, n.unit, n.side * n.amount AS signed, a.memo, e.line_count, e.fx_rate,
               e.id IS NOT NULL AS has_entry, a.id IS NOT NULL AND a.unit = n.unit AS unit_agrees,
               a.code = ANY (CASE n.side WHEN 1 THEN t.allowed_debit ELSE t.allowed_credit END)
                   OR e.reverses_id IS NOT NULL AS routed,
               n.amount = round(n.amount, a.decimals) AS scaled,
               a.materialised = (n.account_version IS NOT NULL) AND a.materialised = (n.balance_after IS NOT NULL)
                   AS versioned,
               n.effective_on = e.effective_on AND a.book_id = e.book_id AND a.status = 'open' AS placed,
               e.reverses_id IS NULL OR (o.account_id = n.account_id AND o.unit = n.unit AND o.side = -n.side
                   AND (o.amount = n.amount OR u.event_type = 'credit.expired' AND n.unit ~ '^[A-Z]{3}$'
                        AND u.fx_rate IS NOT NULL AND abs(o.amount - n.amount) = 0.000000000001)) AS mirrors,
               NOT a.for_grant OR n.side = 1 OR n.account_version = 1 OR t.returns_credit OR e.reverses_id IS NOT NULL
                   AS issued_once
          FROM n
          LEFT JOIN ledger_entry e ON e.id = n.entry_id
          LEFT JOIN ledger_event_type t ON t.code = e.event_type
          LEFT JOIN ledger_account a ON a.id = n.account_id
          LEFT JOIN ledger_line o ON o.entry_id = e.reverses_id AND o.line_no = n.line_no
          LEFT JOIN ledger_entry u ON u.id = e.reverses_id)
    SELECT * INTO bad FROM (
        SELECT entry_id, line_no, CASE
                WHEN NOT has_entry THEN 'ledger_line_entry'
                WHEN NOT unit_agrees THEN 'ledger_line_account_unit'
                WHEN routed IS NOT TRUE THEN 'ledger_line_routed'
                WHEN scaled IS NOT TRUE THEN 'ledger_line_scale'
                WHEN mirrors IS NOT TRUE THEN 'ledger_line_mirrors'
                WHEN issued_once IS NOT TRUE THEN 'ledger_line_grant_issued_once'
                WHEN versioned IS NOT TRUE THEN 'ledger_line_versioned'
                ELSE 'ledger_line_placed' END AS rule
          FROM j
         WHERE (has_entry AND unit_agrees AND routed AND scaled AND versioned AND placed AND mirrors AND issued_once)
               IS NOT TRUE
        UNION ALL
        SELECT entry_id, NULL, CASE WHEN min(unit) = max(unit) OR min(fx_rate) IS NOT NULL
                                    THEN 'ledger_line_complete' ELSE 'ledger_line_one_unit_or_rate' END
          FROM j GROUP BY entry_id
        HAVING (count(*) = min(line_count) AND min(line_no) = 1 AND max(line_no) = count(*)
                AND (min(unit) = max(unit) OR min(fx_rate) IS NOT NULL)) IS NOT TRUE
        UNION ALL
        SELECT entry_id, NULL, 'ledger_line_balanced'
          FROM j GROUP BY entry_id, unit
        HAVING sum(signed) <> 0 OR sum(signed) FILTER (WHERE memo) <> 0
    ) violation LIMIT 1;
    IF FOUND THEN
        PERFORM ledger_refuse(bad.rule, format('Entry %s, line %s breaks the rule %s.',
                                               bad.entry_id, coalesce(bad.line_no::text, 'any'), bad.rule));
    END IF;
    RETURN NULL;
END $$;

-- Holds ---------------------------------------------------------------------------------------------------------------
-- A hold is a fact, and so is its end. What is held of a grant moves with them alone, under the balance's own CHECK.

CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_hold
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_hold_allocation
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_hold_resolution
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- NaN is greater than every number and equal to itself: held, it would lift the floor.
ALTER TABLE ledger_hold ADD CONSTRAINT ledger_hold_number CHECK (amount <> 'NaN' AND asked <> 'NaN');
ALTER TABLE ledger_hold_allocation ADD CONSTRAINT ledger_hold_allocation_number CHECK (amount <> 'NaN');
ALTER TABLE ledger_credit_return ADD CONSTRAINT ledger_return_number
    CHECK (amount <> 'NaN' AND overage <> 'NaN' AND overage_money <> 'NaN');

CREATE FUNCTION ledger_hold_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF EXISTS (SELECT FROM n LEFT JOIN ledger_credit_wallet w ON w.id = n.wallet_id
                WHERE (w.id IS NOT NULL AND n.created_xid = pg_current_xact_id()) IS NOT TRUE) THEN
        PERFORM ledger_refuse('ledger_hold_wallet', 'A hold belongs to a wallet and to the transaction that makes it.');
    END IF;
    INSERT INTO ledger_hold_open (hold_id, wallet_id, expires_at) SELECT id, wallet_id, expires_at FROM n;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_hold_guard AFTER INSERT ON ledger_hold
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_hold_guard();

CREATE FUNCTION ledger_hold_whole() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.amount <> (SELECT coalesce(sum(amount), 0) FROM ledger_hold_allocation WHERE hold_id = NEW.id) THEN
        PERFORM ledger_refuse('ledger_hold_whole', format('Hold %s is not what its allocations keep.', NEW.id));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_hold_whole AFTER INSERT ON ledger_hold
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_hold_whole();

-- Only in the hold's own transaction, and not once it has ended: so what an end gives free is all there ever was.
CREATE FUNCTION ledger_hold_allocation_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF EXISTS (
        SELECT FROM n
          LEFT JOIN ledger_hold h ON h.id = n.hold_id
          LEFT JOIN ledger_hold_resolution r ON r.hold_id = n.hold_id
          LEFT JOIN ledger_credit_grant g ON g.id = n.grant_id
         WHERE (h.created_xid = pg_current_xact_id() AND r.hold_id IS NULL AND g.wallet_id = h.wallet_id
                AND g.effective_at <= h.used_at AND (g.expires_at IS NULL OR h.used_at < g.expires_at)
                AND (g.scope = '{}' OR h.feature = ANY (g.scope))) IS NOT TRUE) THEN
        PERFORM ledger_refuse('ledger_hold_eligible',
            'A hold keeps only grants of its wallet that are in force and in scope, from the moment it is made.');
    END IF;
    -- Also at once: a check at commit can be had early, before more is added.
    IF EXISTS (SELECT FROM (SELECT DISTINCT hold_id FROM n) touched JOIN ledger_hold h ON h.id = touched.hold_id
                WHERE h.amount < (SELECT sum(amount) FROM ledger_hold_allocation WHERE hold_id = h.id)) THEN
        PERFORM ledger_refuse('ledger_hold_whole', 'A hold is not what its allocations keep.');
    END IF;
    PERFORM count(*) FROM ledger_lock_balances((
        SELECT array_agg(g.account_id) FROM n JOIN ledger_credit_grant g ON g.id = n.grant_id));
    UPDATE ledger_balance b SET held = b.held + m.amount
      FROM (SELECT g.account_id, sum(n.amount) AS amount FROM n JOIN ledger_credit_grant g ON g.id = n.grant_id
             GROUP BY 1) m
     WHERE b.account_id = m.account_id;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_hold_allocation_guard AFTER INSERT ON ledger_hold_allocation
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_hold_allocation_guard();

CREATE FUNCTION ledger_hold_resolution_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF EXISTS (SELECT FROM n LEFT JOIN ledger_hold h ON h.id = n.hold_id WHERE (n.amount <= h.amount) IS NOT TRUE) THEN
        PERFORM ledger_refuse('ledger_hold_amount_settled', 'A hold is settled for no more than it keeps.');
    END IF;
    IF EXISTS (SELECT FROM n JOIN ledger_hold h ON h.id = n.hold_id
                WHERE n.kind = 'lapsed' AND n.resolved_at < h.expires_at) THEN
        PERFORM ledger_refuse('ledger_hold_lapses', 'A hold does not lapse before its time.');
    END IF;
    IF EXISTS (SELECT FROM n JOIN ledger_hold h ON h.id = n.hold_id LEFT JOIN ledger_credit_draw d ON d.id = n.draw_id
                WHERE n.draw_id IS NOT NULL
                  AND (d.wallet_id = h.wallet_id AND d.used_at = h.used_at AND d.amount - d.shortfall >= n.amount
                       AND d.recorded_at >= h.recorded_at
                       AND d.idempotency_key = 'hold:' || h.public_id) IS NOT TRUE) THEN
        PERFORM ledger_refuse('ledger_hold_draw', 'A hold is settled by its own draw, which took as much.');
    END IF;
    DELETE FROM ledger_hold_open o USING n WHERE o.hold_id = n.hold_id;
    PERFORM count(*) FROM ledger_lock_balances((
        SELECT array_agg(g.account_id) FROM n
          JOIN ledger_hold_allocation al ON al.hold_id = n.hold_id JOIN ledger_credit_grant g ON g.id = al.grant_id));
    UPDATE ledger_balance b SET held = b.held - m.amount
      FROM (SELECT g.account_id, sum(al.amount) AS amount FROM n
              JOIN ledger_hold_allocation al ON al.hold_id = n.hold_id
              JOIN ledger_credit_grant g ON g.id = al.grant_id GROUP BY 1) m
     WHERE b.account_id = m.account_id;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_hold_resolution_guard AFTER INSERT ON ledger_hold_resolution
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_hold_resolution_guard();

-- what:       the guarantees of the ledger that constraints alone cannot give; they stand whoever writes
-- called by:  migration 0002_guards
-- parameters: none
--
-- Checks are set-based statement triggers: foreign keys and row triggers on the lines cost half of a posting. Each
-- refusal is an integrity error that names its rule as the violated constraint. Functions that need more than the
-- application's role has are SECURITY DEFINER; pg_temp stands last so that no temporary table can stand in for ours.
-- Joins to tables that grow are index look-ups by construction (LATERAL … OFFSET 0) or by setting, not by estimate: a
-- plan made for a batch of thousands is kept by the session and must not scan a whole table for a batch of two.

CREATE FUNCTION ledger_refuse(rule text, reason text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', reason USING ERRCODE = 'check_violation', CONSTRAINT = rule;
END $$;

-- Facts ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% refused on %: it holds facts. Correct a fact with another fact.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_append_only';
END $$;

CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_line
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_credit_grant
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_credit_draw
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_credit_draw_allocation
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_never_removed BEFORE DELETE OR TRUNCATE ON ledger_account
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_never_removed BEFORE DELETE OR TRUNCATE ON ledger_balance
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_never_removed BEFORE DELETE OR TRUNCATE ON ledger_period
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_never_removed BEFORE DELETE OR TRUNCATE ON ledger_credit_wallet
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Units and books -----------------------------------------------------------------------------------------------------

-- Decimals of a currency's minor unit: ISO 4217, those that are not two (a test compares them with the code's).
CREATE FUNCTION ledger_currency_scale(code text) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN code = ANY ('{ADP,ALK,AOK,AON,AOR,BAN,BEC,BEL,BGM,BGO,BIF,BOL,BUK,BYR,CLE,CLP,CSK,DDM,DJF,
             ECS,ESA,ESB,ESP,GEK,GNF,GNS,GQE,GWE,ISK,ITL,JPY,KMF,KRH,KRO,KRW,LUC,LUL,MDC,
             MGF,MKN,MLF,MTP,MVP,MXP,PEI,PTE,PYG,ROL,RWF,SDP,SUR,TJR,TPE,TRL,UGS,UGX,UYI,
             VND,VNN,VUV,XAF,XAG,XAU,XBA,XBB,XBC,XBD,XDR,XEU,XFO,XFU,XOF,XPD,XPF,XPT,XRE,
             XSU,XTS,XUA,XXX,YDD}') THEN 0
        WHEN code = ANY ('{BHD,IQD,JOD,KWD,LYD,OMR,TND}') THEN 3
        WHEN code = ANY ('{CLF,UYW}') THEN 4
        ELSE 2 END
$$;

-- A currency is posted in its own minor unit; a company's own credits cannot be taken for one.
CREATE FUNCTION ledger_unit_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (NEW.kind = 'fiat') <> (NEW.code ~ '^[A-Z]{3}$')
       OR NEW.kind = 'fiat' AND NEW.posting_scale <> ledger_currency_scale(NEW.code) THEN
        PERFORM ledger_refuse('ledger_unit_iso', format('%s is no %s unit of %s decimals.', NEW.code, NEW.kind,
                                                        NEW.posting_scale));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_unit_guard BEFORE INSERT ON ledger_unit
    FOR EACH ROW EXECUTE FUNCTION ledger_unit_guard();
-- What was posted was rounded to it.
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_unit
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Days were dated in its zone: a book that has periods keeps it.
CREATE FUNCTION ledger_book_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (NEW.id, NEW.key, NEW.timezone, NEW.functional_currency)
       IS DISTINCT FROM (OLD.id, OLD.key, OLD.timezone, OLD.functional_currency)
       AND EXISTS (SELECT FROM ledger_period WHERE book_id = OLD.id) THEN
        PERFORM ledger_refuse('ledger_book_fixed', 'A book keeps its key, zone and currency once it has periods.');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_book_guard BEFORE UPDATE ON ledger_book
    FOR EACH ROW EXECUTE FUNCTION ledger_book_guard();

-- Accounts and balances -----------------------------------------------------------------------------------------------

ALTER TABLE ledger_balance
    ADD CONSTRAINT ledger_balance_no_overdraft
        CHECK (min_available IS NULL OR normal_side * (debits - credits) - held >= min_available),
    ADD CONSTRAINT ledger_balance_amounts CHECK (debits >= 0 AND credits >= 0 AND held >= 0 AND version >= 0);
ALTER TABLE ledger_balance
    SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What an account is follows from its code and unit, whatever the writer says.
CREATE FUNCTION ledger_account_derive() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    c ledger_account_code;
    unit_scale smallint;
BEGIN
    SELECT * INTO c FROM ledger_account_code WHERE code = NEW.code;
    IF NOT FOUND THEN
        PERFORM ledger_refuse('ledger_account_code', format('The chart has no account %s.', NEW.code));
    END IF;
    SELECT posting_scale INTO unit_scale FROM ledger_unit WHERE code = NEW.unit;
    IF NOT FOUND THEN
        PERFORM ledger_refuse('ledger_account_unit', format('There is no unit %s.', NEW.unit));
    END IF;
    IF (NEW.customer_key <> '') <> c.takes_customer THEN
        PERFORM ledger_refuse('ledger_account_customer', format('Account %s %s a customer.', NEW.code,
            CASE WHEN c.takes_customer THEN 'needs' ELSE 'takes no' END));
    END IF;
    IF (NEW.dimension <> '' AND c.dimension = '') OR (NEW.dimension = '' AND c.dimension_required) THEN
        PERFORM ledger_refuse('ledger_account_dimension', format('Account %s %s dimension.', NEW.code,
            CASE WHEN c.dimension = '' THEN 'takes no' ELSE 'needs its ' || c.dimension || ' as' END));
    END IF;
    NEW.normal_side := c.normal_side;
    NEW.materialised := c.materialised;
    NEW.memo := c.memo;
    NEW.for_grant := c.dimension = 'grant';
    NEW.decimals := CASE WHEN c.exact THEN 12 ELSE unit_scale END;
    NEW.status := 'open';
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_account_derive BEFORE INSERT ON ledger_account
    FOR EACH ROW EXECUTE FUNCTION ledger_account_derive();

CREATE FUNCTION ledger_account_open_balance() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_balance (account_id, normal_side, debits, credits, held, min_available, version)
    SELECT NEW.id, NEW.normal_side, 0, 0, 0, floor, 0 FROM ledger_account_code WHERE code = NEW.code;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_account_open_balance AFTER INSERT ON ledger_account
    FOR EACH ROW WHEN (NEW.materialised) EXECUTE FUNCTION ledger_account_open_balance();

CREATE FUNCTION ledger_account_keep() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (to_jsonb(NEW) - 'status') <> (to_jsonb(OLD) - 'status') THEN
        RAISE EXCEPTION 'Only the status of account % may change.', OLD.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'ledger_account_append_only';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_account_keep BEFORE UPDATE ON ledger_account
    FOR EACH ROW EXECUTE FUNCTION ledger_account_keep();

CREATE FUNCTION ledger_balance_only_by_lines() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'A stored balance moves only with the lines that are posted.'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'ledger_balance_only_by_lines';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_balance_only_by_lines BEFORE INSERT OR UPDATE ON ledger_balance
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_balance_only_by_lines();

-- The door's locks: the application's role may not update these rows, and a row lock needs that right.
CREATE FUNCTION ledger_lock_balances(ids bigint[]) RETURNS SETOF ledger_balance LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT * FROM ledger_balance WHERE account_id = ANY (ids) ORDER BY account_id FOR NO KEY UPDATE;
END $$;

-- The accounts of these keys (four JSON arrays side by side), their stored balances locked in the order of their ids. If
-- an account is missing nothing is locked: open it and ask again, so that locks are taken in one order.
CREATE FUNCTION ledger_lock_accounts(in_book bigint, codes json, customers json, dimensions json, units json)
RETURNS TABLE (code text, customer_key text, dimension text, unit text, account_id bigint, normal_side smallint,
               materialised boolean, net numeric, held numeric, floor numeric, version bigint)
LANGUAGE plpgsql SECURITY DEFINER ROWS 1000
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH found AS MATERIALIZED (
        SELECT k.*, a.id, a.normal_side, a.materialised
          FROM ROWS FROM (json_array_elements_text(codes), json_array_elements_text(customers),
                          json_array_elements_text(dimensions), json_array_elements_text(units))
               AS k (code, customer_key, dimension, unit)
         CROSS JOIN LATERAL (
            SELECT x.id, x.normal_side, x.materialised FROM ledger_account x
             WHERE x.customer_key = k.customer_key AND x.code = k.code AND x.dimension = k.dimension
               AND x.unit = k.unit AND x.book_id = in_book OFFSET 0) a),
    locked AS MATERIALIZED (
        SELECT b.* FROM (SELECT f.id FROM found f
                          WHERE f.materialised AND (SELECT count(*) FROM found) = json_array_length(codes)
                          ORDER BY f.id) wanted
         CROSS JOIN LATERAL (
            SELECT * FROM ledger_balance x WHERE x.account_id = wanted.id FOR NO KEY UPDATE OFFSET 0) b)
    SELECT f.code, f.customer_key, f.dimension, f.unit, f.id, f.normal_side, f.materialised,
           f.normal_side * (l.debits - l.credits), nullif(l.held, 0), l.min_available, l.version
      FROM found f LEFT JOIN locked l ON l.account_id = f.id;
END $$;

CREATE FUNCTION ledger_lock_wallet(customer text, in_unit text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    wallet bigint;
BEGIN
    SELECT id INTO wallet FROM ledger_credit_wallet WHERE customer_key = customer AND unit = in_unit FOR NO KEY UPDATE;
    IF wallet IS NULL THEN
        INSERT INTO ledger_credit_wallet (customer_key, unit) VALUES (customer, in_unit) ON CONFLICT DO NOTHING;
        SELECT id INTO wallet FROM ledger_credit_wallet
         WHERE customer_key = customer AND unit = in_unit FOR NO KEY UPDATE;
    END IF;
    RETURN wallet;
END $$;

-- Periods -------------------------------------------------------------------------------------------------------------

ALTER TABLE ledger_period ADD CONSTRAINT ledger_period_apart
    EXCLUDE USING gist (int8range(book_id, book_id, '[]') WITH &&, daterange(starts_on, ends_before) WITH &&);

CREATE FUNCTION ledger_period_lock_class() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7262001';

-- Find (or open, as its calendar month) the period of each day, and keep it from being closed until we commit.
CREATE FUNCTION ledger_enter_periods(in_book bigint, days date[])
RETURNS TABLE (day date, period_id bigint, status text) LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_period (book_id, starts_on, ends_before, status, closed_by)
    SELECT DISTINCT in_book, date_trunc('month', d)::date, (date_trunc('month', d) + interval '1 month')::date,
           'open', ''
      FROM unnest(days) d
     WHERE NOT EXISTS (SELECT FROM ledger_period p WHERE p.book_id = in_book AND p.starts_on <= d AND d < p.ends_before)
     ORDER BY 2
    ON CONFLICT DO NOTHING;
    PERFORM pg_advisory_xact_lock_shared(ledger_period_lock_class(), p.id::int)
       FROM (SELECT DISTINCT p.id FROM unnest(days) d
               JOIN ledger_period p ON p.book_id = in_book AND p.starts_on <= d AND d < p.ends_before
              ORDER BY p.id) p;
    RETURN QUERY
    SELECT d, p.id, p.status::text FROM unnest(days) d
      JOIN ledger_period p ON p.book_id = in_book AND p.starts_on <= d AND d < p.ends_before;
END $$;

-- A period is born open, as one calendar month. Closing waits for its last day and for the postings in flight; closed
-- stays closed.
CREATE FUNCTION ledger_period_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'open' OR NEW.closed_by <> '' OR NEW.starts_on <> date_trunc('month', NEW.starts_on)::date
           OR NEW.ends_before <> (NEW.starts_on + interval '1 month')::date THEN
            PERFORM ledger_refuse('ledger_period_born', 'A period is born open and is one calendar month.');
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.book_id, NEW.starts_on, NEW.ends_before) IS DISTINCT FROM (OLD.book_id, OLD.starts_on, OLD.ends_before) THEN
        PERFORM ledger_refuse('ledger_period_fixed', 'A period keeps its days.');
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN
        (('open', 'soft_closed'), ('open', 'closed'), ('soft_closed', 'closed'), ('soft_closed', 'open')) THEN
        PERFORM ledger_refuse('ledger_period_stays_closed', 'A closed period stays closed.');
    END IF;
    IF NEW.status <> 'open' AND NEW.ends_before > (
        SELECT (NEW.closed_at AT TIME ZONE b.timezone)::date FROM ledger_book b WHERE b.id = NEW.book_id) THEN
        PERFORM ledger_refuse('ledger_period_over', 'A period is closed after its last day.');
    END IF;
    PERFORM pg_advisory_xact_lock(ledger_period_lock_class(), OLD.id::int);
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_period_guard BEFORE INSERT OR UPDATE ON ledger_period
    FOR EACH ROW EXECUTE FUNCTION ledger_period_guard();

-- Entries -------------------------------------------------------------------------------------------------------------

-- One row a posting statement until its lines are there: the deferred check of that row looks at all its entries.
CREATE UNLOGGED TABLE ledger_entry_awaiting_lines (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_id bigint NOT NULL,
    last_id bigint NOT NULL
);

CREATE FUNCTION ledger_entry_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    bad record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM ledger_refuse('ledger_entry_isolation',
            'Posting needs READ COMMITTED: an older snapshot could miss a close.');
    END IF;
    PERFORM pg_advisory_xact_lock_shared(ledger_period_lock_class(), p.id::int)
       FROM (SELECT DISTINCT period_id AS id FROM n ORDER BY 1) p;
    -- Rules of kind and date, once for entries that share them.
    SELECT d.id, CASE
            WHEN t.code IS NULL THEN 'ledger_entry_event_type'
            WHEN p.id IS NULL OR p.book_id <> d.book_id THEN 'ledger_entry_period'
            WHEN p.status <> 'open' THEN 'ledger_entry_period_open'
            ELSE 'ledger_entry_effective_day' END AS rule
      INTO bad
      FROM (SELECT event_type, book_id, period_id, effective_at, effective_on, min(id) AS id
              FROM n GROUP BY 1, 2, 3, 4, 5) d
      LEFT JOIN ledger_event_type t ON t.code = d.event_type
      LEFT JOIN ledger_book b ON b.id = d.book_id
      LEFT JOIN LATERAL (SELECT * FROM ledger_period WHERE id = d.period_id OFFSET 0) p ON true
     WHERE (t.code IS NOT NULL AND p.book_id = d.book_id AND p.status = 'open'
            AND d.effective_on = (d.effective_at AT TIME ZONE b.timezone)::date
            AND d.effective_on >= p.starts_on AND d.effective_on < p.ends_before) IS NOT TRUE
     LIMIT 1;
    IF NOT FOUND THEN
        SELECT n.id, 'ledger_entry_recorded_now' AS rule INTO bad FROM n
         WHERE (n.created_xid = pg_current_xact_id() AND n.recorded_at >= now() - interval '1 second'
                AND n.recorded_at <= clock_timestamp() + interval '1 second') IS NOT TRUE
         LIMIT 1;
    END IF;
    IF NOT FOUND THEN
        SELECT n.id, 'ledger_entry_reverses' AS rule INTO bad FROM n
          LEFT JOIN LATERAL (SELECT * FROM ledger_entry WHERE id = n.reverses_id OFFSET 0) r ON true
         WHERE n.reverses_id IS NOT NULL
           AND (r.reverses_id IS NULL AND r.line_count = n.line_count AND r.book_id = n.book_id) IS NOT TRUE
         LIMIT 1;
    END IF;
    IF FOUND THEN
        PERFORM ledger_refuse(bad.rule, format('Entry %s breaks the rule %s.', bad.id, bad.rule));
    END IF;
    INSERT INTO ledger_entry_awaiting_lines (first_id, last_id) SELECT min(id), max(id) FROM n HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_entry_guard AFTER INSERT ON ledger_entry
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_entry_guard();

CREATE FUNCTION ledger_entry_has_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    bare bigint;
BEGIN
    SELECT e.id INTO bare FROM ledger_entry e
     WHERE e.id BETWEEN NEW.first_id AND NEW.last_id AND e.created_xid = pg_current_xact_id()
       AND NOT EXISTS (SELECT FROM ledger_line WHERE entry_id = e.id AND line_no = 1)
     LIMIT 1;
    IF FOUND THEN
        PERFORM ledger_refuse('ledger_entry_has_lines', format('Entry %s has no lines.', bare));
    END IF;
    DELETE FROM ledger_entry_awaiting_lines WHERE id = NEW.id;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_entry_has_lines AFTER INSERT ON ledger_entry_awaiting_lines
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entry_has_lines();

-- Lines ---------------------------------------------------------------------------------------------------------------
-- An entry's lines come in one statement, whole, and nobody can add to them: the numbers 1 to line_count are taken.

CREATE FUNCTION ledger_line_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = on SET enable_mergejoin = on SET enable_seqscan = on AS $$
DECLARE
    fine boolean;
    draws boolean;
    bad record;
    drawing bigint[];
    overdrawn bigint;
BEGIN
    -- All rules at once, for entries in one unit.
    SELECT bool_and(w.fine), bool_or(w.draws) INTO fine, draws FROM (
        SELECT bool_and(j.fine) AND sum(j.signed) = 0 AND coalesce(sum(j.signed) FILTER (WHERE j.memo), 0) = 0
               AND count(*) = min(j.line_count) AND min(j.line_no) = 1 AND max(j.line_no) = count(*) AS fine,
               bool_or(j.draws_credit) AS draws
          FROM (SELECT n.entry_id, n.line_no, n.unit, CASE n.side WHEN 1 THEN n.amount ELSE -n.amount END AS signed,
                       a.memo, e.line_count, t.draws_credit,
                       (a.unit = n.unit AND a.book_id = e.book_id AND a.status = 'open'
                        AND n.effective_on = e.effective_on
                        AND a.materialised = (n.account_version IS NOT NULL)
                        AND a.materialised = (n.balance_after IS NOT NULL)
                        AND (a.decimals >= 12 OR n.amount = round(n.amount, a.decimals))
                        AND e.reverses_id IS NULL
                        AND a.code = ANY (CASE n.side WHEN 1 THEN t.allowed_debit ELSE t.allowed_credit END)
                        AND (NOT a.for_grant OR n.side = 1 OR n.account_version = 1)) IS TRUE AS fine
                  FROM n
                  LEFT JOIN LATERAL (SELECT book_id, event_type, line_count, effective_on, reverses_id
                                       FROM ledger_entry WHERE id = n.entry_id OFFSET 0) e ON true
                  LEFT JOIN ledger_event_type t ON t.code = e.event_type
                  LEFT JOIN LATERAL (SELECT unit, book_id, status, materialised, decimals, code, for_grant, memo
                                       FROM ledger_account WHERE id = n.account_id OFFSET 0) a ON true) j
         GROUP BY j.entry_id, j.unit) w;
    IF fine AND NOT draws THEN
        RETURN NULL;
    END IF;
    SET LOCAL enable_hashjoin = off; -- until this function returns
    SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_seqscan = off;
    IF draws THEN
        -- What credit pays for is drawn: per entry and grant the debit is the sum of the allocations, and no draw is
        -- allocated by half.
        SELECT array_agg(DISTINCT n.entry_id) INTO drawing
          FROM n JOIN ledger_entry e ON e.id = n.entry_id JOIN ledger_event_type t ON t.code = e.event_type
         WHERE t.draws_credit;
        SELECT entry_id INTO overdrawn FROM (
            SELECT entry_id FROM (
                SELECT n.entry_id, n.account_id, sum(n.amount) AS signed
                  FROM n JOIN ledger_account a ON a.id = n.account_id
                 WHERE a.for_grant AND n.entry_id = ANY (drawing) GROUP BY 1, 2
                UNION ALL
                SELECT d.entry_id, g.account_id, -sum(al.amount)
                  FROM ledger_credit_draw d
                  JOIN ledger_credit_draw_allocation al ON al.draw_id = d.id
                  JOIN ledger_credit_grant g ON g.id = al.grant_id
                 WHERE d.entry_id = ANY (drawing) GROUP BY 1, 2) both_sides
             GROUP BY entry_id, account_id HAVING sum(signed) <> 0
            UNION ALL
            SELECT d.entry_id
              FROM ledger_credit_draw d LEFT JOIN ledger_credit_draw_allocation al ON al.draw_id = d.id
             WHERE d.entry_id = ANY (drawing)
             GROUP BY d.id HAVING coalesce(sum(al.amount), 0) <> d.amount - d.shortfall
        ) violation LIMIT 1;
        IF FOUND THEN
            PERFORM ledger_refuse('ledger_line_drawn',
                format('Entry %s takes from credits what its draws do not say.', overdrawn));
        END IF;
    END IF;
    IF fine THEN
        RETURN NULL;
    END IF;
    -- Not all is plain: reversals and entries across units are looked at rule by rule, and what is wrong is named.
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
                   AND o.amount = n.amount) AS mirrors,
               NOT a.for_grant OR n.side = 1 OR n.account_version = 1 OR e.reverses_id IS NOT NULL AS issued_once
          FROM n
          LEFT JOIN ledger_entry e ON e.id = n.entry_id
          LEFT JOIN ledger_event_type t ON t.code = e.event_type
          LEFT JOIN ledger_account a ON a.id = n.account_id
          LEFT JOIN ledger_line o ON o.entry_id = e.reverses_id AND o.line_no = n.line_no)
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

-- Move the stored balances by lines whose versions continue the account's without a gap. The door has locked them in
-- the order of their ids; who comes by another way may meet a deadlock, not a wrong balance.
CREATE FUNCTION ledger_line_move_balances() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    touched bigint;
    moved bigint;
    most bigint;
    right_after boolean;
BEGIN
    WITH m AS (
        SELECT account_id, coalesce(sum(amount) FILTER (WHERE side = 1), 0) AS debits,
               coalesce(sum(amount) FILTER (WHERE side = -1), 0) AS credits,
               count(*) AS lines, min(account_version) AS low, max(account_version) AS high, max(balance_after) AS after
          FROM n WHERE account_version IS NOT NULL GROUP BY account_id),
    done AS (
        UPDATE ledger_balance b
           SET debits = b.debits + m.debits, credits = b.credits + m.credits, version = m.high
          FROM m
         WHERE b.account_id = m.account_id AND m.low = b.version + 1 AND m.high = b.version + m.lines
        RETURNING m.lines > 1 OR m.after = CASE b.normal_side WHEN 1 THEN b.debits - b.credits
                                                              ELSE b.credits - b.debits END AS fine)
    SELECT (SELECT count(*) FROM m), (SELECT max(lines) FROM m), count(*), bool_and(fine)
      INTO touched, most, moved, right_after FROM done;
    IF moved <> touched THEN
        PERFORM ledger_refuse('ledger_line_versions', 'Lines do not continue their accounts'' versions.');
    END IF;
    IF most > 1 THEN
        SELECT bool_and(balance_after = really) INTO right_after FROM (
            SELECT n.balance_after,
                   b.normal_side * (b.debits - b.credits
                       - coalesce(sum(n.side * n.amount) OVER (PARTITION BY n.account_id ORDER BY n.account_version
                           ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), 0)) AS really
              FROM n JOIN ledger_balance b ON b.account_id = n.account_id
             WHERE n.account_version IS NOT NULL) after;
    END IF;
    IF NOT right_after THEN
        PERFORM ledger_refuse('ledger_line_balance_after', 'A line states another balance than it leaves.');
    END IF;
    RETURN NULL;
END $$;

-- Triggers of one event fire in the order of their names.
CREATE TRIGGER ledger_line_1_guard AFTER INSERT ON ledger_line
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_line_guard();
CREATE TRIGGER ledger_line_2_move_balances AFTER INSERT ON ledger_line
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_line_move_balances();

-- Credits -------------------------------------------------------------------------------------------------------------

-- At commit a grant has been issued by an entry, for exactly its amount, into an account of its own.
CREATE FUNCTION ledger_grant_issued() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM ledger_account a
          JOIN ledger_credit_wallet w ON w.id = NEW.wallet_id
          JOIN ledger_line l ON l.account_id = a.id AND l.account_version = 1
         WHERE a.id = NEW.account_id AND a.unit = NEW.unit AND a.customer_key = NEW.customer_key
           AND a.dimension = NEW.public_id::text
           AND a.code = CASE NEW.kind WHEN 'paid' THEN '2000' WHEN 'goodwill' THEN '2010' ELSE '9010' END
           AND w.customer_key = NEW.customer_key AND w.unit = NEW.unit
           AND l.side = -1 AND l.amount = NEW.amount) THEN
        PERFORM ledger_refuse('ledger_grant_issued', format('Credit grant %s was not issued by an entry.', NEW.id));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_grant_issued AFTER INSERT ON ledger_credit_grant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_grant_issued();

CREATE FUNCTION ledger_account_has_grant() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_credit_grant WHERE account_id = NEW.id) THEN
        PERFORM ledger_refuse('ledger_account_has_grant', format('Account %s has no credit grant.', NEW.id));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_account_has_grant AFTER INSERT ON ledger_account
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.for_grant) EXECUTE FUNCTION ledger_account_has_grant();

CREATE FUNCTION ledger_draw_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM n JOIN ledger_entry e ON e.id = n.entry_id) THEN
        PERFORM ledger_refuse('ledger_draw_before_entry', 'A draw is written before its entry; this entry is there.');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_draw_guard AFTER INSERT ON ledger_credit_draw
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_draw_guard();

-- The lines of an entry are compared with its draws if its kind draws credit: a draw under another kind is compared with
-- nothing, so at commit there is none.
CREATE FUNCTION ledger_draw_posted() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_entry e JOIN ledger_event_type t ON t.code = e.event_type
                    WHERE e.id = NEW.entry_id AND t.draws_credit) THEN
        PERFORM ledger_refuse('ledger_draw_posted',
            format('Draw %s is posted by no entry that draws credit.', NEW.id));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_draw_posted AFTER INSERT ON ledger_credit_draw
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.entry_id IS NOT NULL) EXECUTE FUNCTION ledger_draw_posted();

CREATE FUNCTION ledger_allocation_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM n
          LEFT JOIN ledger_credit_draw d ON d.id = n.draw_id
          LEFT JOIN ledger_credit_grant g ON g.id = n.grant_id
          LEFT JOIN ledger_entry e ON e.id = d.entry_id
         WHERE (d.entry_id IS NOT NULL AND e.id IS NULL AND g.wallet_id = d.wallet_id
                AND g.effective_at <= d.used_at AND (g.expires_at IS NULL OR d.used_at < g.expires_at)
                AND (g.scope = '{}' OR d.feature = ANY (g.scope))) IS NOT TRUE) THEN
        PERFORM ledger_refuse('ledger_allocation_eligible',
            'A draw takes only from grants of its wallet that are in force and in scope, and only before its entry.');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_allocation_guard AFTER INSERT ON ledger_credit_draw_allocation
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_allocation_guard();

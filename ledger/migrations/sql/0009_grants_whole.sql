-- what:       the guarantees of grants in any unit, of rates, of credit that comes again, and of moved credit
-- called by:  migration 0009_grants_whole; replaces ledger_grant_issued of 0002
-- parameters: none

CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_unit_rate
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_never_removed BEFORE DELETE OR TRUNCATE ON ledger_credit_schedule
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

ALTER TABLE ledger_unit_rate ADD CONSTRAINT ledger_unit_rate_number CHECK (rate <> 'NaN');
ALTER TABLE ledger_credit_schedule ADD CONSTRAINT ledger_schedule_number
    CHECK (amount <> 'NaN' AND rollover_min <> 'NaN' AND rollover_max <> 'NaN');

-- A rate says what a company's own unit is worth in a currency.
CREATE FUNCTION ledger_unit_rate_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.currency !~ '^[A-Z]{3}$' OR NOT EXISTS (SELECT FROM ledger_unit WHERE code = NEW.unit AND kind = 'credit') THEN
        PERFORM ledger_refuse('ledger_unit_rate_units', 'A rate is money in a currency for a company''s own unit.');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_unit_rate_guard BEFORE INSERT ON ledger_unit_rate
    FOR EACH ROW EXECUTE FUNCTION ledger_unit_rate_guard();

-- The terms of a schedule stay; its end is set once, its progress goes up by one.
CREATE FUNCTION ledger_schedule_keep() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    living CONSTANT text[] := '{ends_at,ended_by,end_reason,next_number,reset_number,issue_due_at,reset_due_at}';
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.next_number <> 0 OR NEW.reset_number <> 0 THEN
            PERFORM ledger_refuse('ledger_schedule_begins', 'A schedule begins with its first period.');
        END IF;
        RETURN NEW;
    END IF;
    IF (to_jsonb(NEW) - living) <> (to_jsonb(OLD) - living) THEN
        PERFORM ledger_refuse('ledger_schedule_keeps', 'The terms of a schedule stay: end it and make another.');
    END IF;
    IF (NEW.ends_at, NEW.ended_by, NEW.end_reason) IS DISTINCT FROM (OLD.ends_at, OLD.ended_by, OLD.end_reason)
       AND (OLD.ended_by <> '' OR NEW.ended_by = '' OR NEW.end_reason = '' OR NEW.ends_at IS NULL
            OR NEW.ends_at > OLD.ends_at) THEN
        PERFORM ledger_refuse('ledger_schedule_ends_once', 'A schedule is ended once, by somebody, for a reason.');
    END IF;
    IF NEW.next_number NOT IN (OLD.next_number, OLD.next_number + 1)
       OR NEW.reset_number NOT IN (OLD.reset_number, OLD.reset_number + 1)
       OR NEW.reset_number > NEW.next_number + 1 THEN
        PERFORM ledger_refuse('ledger_schedule_progress', 'A schedule goes on one period at a time.');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_schedule_keep BEFORE INSERT OR UPDATE ON ledger_credit_schedule
    FOR EACH ROW EXECUTE FUNCTION ledger_schedule_keep();

-- The accounts on which a grant of a kind may stand; in a company's own unit it is a quantity.
CREATE FUNCTION ledger_grant_codes(kind text, own boolean) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN own THEN '{9110}'::text[]
                WHEN kind = 'paid' THEN '{2000}' WHEN kind = 'goodwill' THEN '{2010}'
                WHEN kind = 'promotional' THEN '{9010,2020}' ELSE '{9010}' END
$$;

-- The accounts on which the money of a grant in a company's own unit may stand; '' is none.
CREATE FUNCTION ledger_grant_money_codes(kind text, own boolean) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN NOT own THEN '{""}'::text[]
                WHEN kind = 'paid' THEN '{2005}' WHEN kind = 'goodwill' THEN '{2015}'
                WHEN kind = 'promotional' THEN '{"",2025}' ELSE '{""}' END
$$;

-- The money of a grant of which so much remains: cost × remaining ÷ amount, half away from zero at twelve decimals. The
-- same as ledger/rules/worth.py; div() keeps it exact.
CREATE FUNCTION ledger_money_left(cost numeric, amount numeric, remaining numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT div(2 * cost * remaining * 1000000000000 + amount, 2 * amount) * 0.000000000001
$$;

CREATE FUNCTION ledger_bought_lock_class() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7262005';

-- At commit a grant has been issued by an entry, for exactly its amount, into an account of its own; in a company's own
-- unit that entry put its cost on its money account; and a grant that was moved took it all from the grant it names.
CREATE OR REPLACE FUNCTION ledger_grant_issued() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    own boolean;
    issued record;
    origin ledger_credit_grant;
    origin_code text;
BEGIN
    SELECT kind = 'credit' INTO own FROM ledger_unit WHERE code = NEW.unit;
    SELECT e.id, e.event_type, e.approval_id, a.code INTO issued
      FROM ledger_account a
      JOIN ledger_credit_wallet w ON w.id = NEW.wallet_id
      JOIN ledger_line l ON l.account_id = a.id AND l.account_version = 1
      JOIN ledger_entry e ON e.id = l.entry_id
     WHERE a.id = NEW.account_id AND a.unit = NEW.unit AND a.customer_key = NEW.customer_key
       AND a.dimension = NEW.public_id::text AND a.code = ANY (ledger_grant_codes(NEW.kind, own))
       AND w.customer_key = NEW.customer_key AND w.unit = NEW.unit
       AND l.side = -1 AND l.amount = NEW.amount;
    IF NOT FOUND THEN
        PERFORM ledger_refuse('ledger_grant_issued', format('Credit grant %s was not issued by an entry.', NEW.id));
    END IF;
    IF (NEW.kind = 'paid') AND issued.event_type = 'credit.granted'
       OR (NEW.kind <> 'paid') AND issued.event_type = 'credit.bought' THEN
        PERFORM ledger_refuse('ledger_grant_by_its_kind', format('Credit grant %s: paid credit is bought, other given.', NEW.id));
    END IF;
    IF NOT NEW.money_code = ANY (ledger_grant_money_codes(NEW.kind, own)) OR (NOT own AND NEW.currency <> '')
       OR NEW.money_code <> '' AND NEW.cost_basis IS DISTINCT FROM coalesce((
            SELECT l.amount FROM ledger_account a
              JOIN ledger_line l ON l.account_id = a.id AND l.account_version = 1 AND l.side = -1
             WHERE a.customer_key = NEW.customer_key AND a.code = NEW.money_code AND a.dimension = NEW.public_id::text
               AND a.unit = NEW.currency AND l.entry_id = issued.id), 0) THEN
        PERFORM ledger_refuse('ledger_grant_money',
            format('Credit grant %s: its entry did not put its cost on its money account.', NEW.id));
    END IF;
    -- What moved it before it was written was compared with nothing.
    IF NEW.money_code <> '' AND NOT EXISTS (
        SELECT FROM ledger_balance q
         WHERE q.account_id = NEW.account_id
           AND ledger_money_left(NEW.cost_basis, NEW.amount, q.credits - q.debits) = coalesce((
                SELECT m.credits - m.debits FROM ledger_account a JOIN ledger_balance m ON m.account_id = a.id
                 WHERE a.customer_key = NEW.customer_key AND a.code = NEW.money_code
                   AND a.dimension = NEW.public_id::text AND a.unit = NEW.currency), 0)) THEN
        PERFORM ledger_refuse('ledger_line_units_money',
            format('The money of credit grant %s is not that of what remains of it.', NEW.id));
    END IF;
    IF issued.event_type = 'credit.bought' THEN
        -- Credit is bought with what stands invoiced and unpaid; one after the other, or two would take it both.
        PERFORM pg_advisory_xact_lock(ledger_bought_lock_class(), hashtext(NEW.customer_key));
        IF EXISTS (SELECT FROM ledger_line paid JOIN ledger_account a ON a.id = paid.account_id AND a.code = '2050'
                    WHERE paid.entry_id = issued.id
                      AND (SELECT sum(l.side * l.amount) FROM ledger_line l WHERE l.account_id = a.id) > 0) THEN
            PERFORM ledger_refuse('ledger_grant_bought',
                format('Credit grant %s: more is bought than was invoiced for credit.', NEW.id));
        END IF;
    END IF;
    IF issued.event_type NOT IN ('credit.transferred', 'credit.rolled_over') THEN
        IF NEW.from_grant_id IS NOT NULL THEN
            PERFORM ledger_refuse('ledger_grant_moved', format('Credit grant %s was not moved from another.', NEW.id));
        END IF;
        RETURN NULL;
    END IF;
    SELECT * INTO origin FROM ledger_credit_grant WHERE id = NEW.from_grant_id;
    SELECT code INTO origin_code FROM ledger_account WHERE id = origin.account_id;
    IF (origin.unit = NEW.unit AND origin.kind = NEW.kind AND origin_code = issued.code
        AND (origin.currency, origin.money_code) = (NEW.currency, NEW.money_code)
        AND origin.rate IS NOT DISTINCT FROM NEW.rate
        AND (origin.customer_key = NEW.customer_key) = (issued.event_type = 'credit.rolled_over')
        AND (issued.event_type = 'credit.rolled_over'
             OR (origin.expires_at, origin.scope) IS NOT DISTINCT FROM (NEW.expires_at, NEW.scope))
        AND (SELECT sum(l.amount) FROM ledger_line l
              WHERE l.entry_id = issued.id AND l.account_id = origin.account_id AND l.side = 1)
            = (SELECT sum(g.amount) FROM ledger_credit_grant g
                 JOIN ledger_line l ON l.account_id = g.account_id AND l.account_version = 1 AND l.entry_id = issued.id
                WHERE g.from_grant_id = origin.id)) IS NOT TRUE THEN
        PERFORM ledger_refuse('ledger_grant_moved',
            format('Credit grant %s is not what left the grant that it names.', NEW.id));
    END IF;
    -- Between customers it is exactly what another person approved.
    IF issued.event_type = 'credit.transferred' AND NOT EXISTS (
        SELECT FROM billing_ops_approval a CROSS JOIN LATERAL jsonb_array_elements(a.subject -> 'parts') part
         WHERE a.id = issued.approval_id AND a.kind = 'credit.transfer' AND a.status = 'approved'
           AND a.subject ->> 'from' = origin.customer_key AND a.subject ->> 'to' = NEW.customer_key
           AND part ->> 'grant' = origin.public_id::text AND part ->> 'becomes' = NEW.public_id::text
           AND (part ->> 'amount')::numeric = NEW.amount) THEN
        PERFORM ledger_refuse('ledger_grant_approved', format('Credit grant %s was not approved so.', NEW.id));
    END IF;
    RETURN NULL;
END $$;

-- The money of a company's own unit stands only where a grant says so.
CREATE FUNCTION ledger_account_has_units() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.dimension !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' OR NOT EXISTS (
        SELECT FROM ledger_credit_grant g
         WHERE g.public_id = NEW.dimension::uuid AND g.customer_key = NEW.customer_key
           AND g.currency = NEW.unit AND g.money_code = NEW.code) THEN
        PERFORM ledger_refuse('ledger_account_has_units', format('Account %s is the money of no grant.', NEW.id));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_account_has_units AFTER INSERT ON ledger_account
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.code IN ('2005', '2015', '2025'))
    EXECUTE FUNCTION ledger_account_has_units();

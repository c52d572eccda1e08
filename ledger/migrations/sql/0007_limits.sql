-- what:       limits of credit and the approvals behind entries, held whoever writes
-- called by:  migration 0007_limits
-- parameters: none

CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_credit_limit
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_limit_use
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Limits to begin with. A unit that is not here has none: there every credit needs a second person.
INSERT INTO ledger_credit_limit (role, unit, per_credit, per_agent_day, per_customer_30_days, valid_from, set_at, set_by, reason)
SELECT role, unit, per_credit, per_agent_day, per_customer_30_days, '2000-01-01 00:00+00', '2000-01-01 00:00+00',
       'installation', 'Shipped with the product: set your own.'
  FROM (VALUES ('Support', 100, 500, 250), ('Finance', 1000, 5000, 5000), ('API key', 100, 5000, 250))
       AS r (role, per_credit, per_agent_day, per_customer_30_days)
 CROSS JOIN (VALUES ('USD'), ('EUR'), ('GBP')) AS u (unit);

-- NaN is greater than every number: a limit of it is none.
ALTER TABLE ledger_credit_limit ADD CONSTRAINT ledger_limit_number
    CHECK (per_credit <> 'NaN' AND per_agent_day <> 'NaN' AND per_customer_30_days <> 'NaN');

CREATE FUNCTION ledger_limit_lock_class() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7262002';

-- One agent's credits come one after the other.
CREATE FUNCTION ledger_lock_agent(in_type text, in_id text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(ledger_limit_lock_class(), hashtext(in_type || ':' || in_id));
END $$;

-- What an agent gives alone is within the limits of the role, under the same locks and by the same sums as
-- ledger/limiting.py and ledger/rules/limits.py.
CREATE FUNCTION ledger_limit_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    most ledger_credit_limit;
    by_agent numeric;
    in_month numeric;
    in_day numeric;
    number int;
    broken text;
BEGIN
    PERFORM ledger_lock_agent(NEW.agent_type, NEW.agent_id);
    PERFORM ledger_lock_wallet(NEW.customer_key, NEW.unit);
    IF NOT EXISTS (
        SELECT FROM ledger_credit_grant g
         WHERE g.id = NEW.grant_id AND g.amount = NEW.amount AND g.unit = NEW.unit AND g.approval_id IS NULL
           AND g.customer_key = NEW.customer_key AND g.requested_by_type = NEW.agent_type
           AND g.requested_by_id = NEW.agent_id AND g.created_at = NEW.given_at) THEN
        PERFORM ledger_refuse('ledger_limit_use_of_grant', 'What counts against a limit is a credit that was given so.');
    END IF;
    SELECT * INTO most FROM ledger_credit_limit
     WHERE role = NEW.role AND unit = NEW.unit AND valid_from <= NEW.given_at
     ORDER BY valid_from DESC, id DESC LIMIT 1;
    SELECT coalesce(sum(amount), 0) INTO by_agent FROM ledger_limit_use
     WHERE agent_type = NEW.agent_type AND agent_id = NEW.agent_id AND unit = NEW.unit
       AND given_at > NEW.given_at - interval '24 hours';
    SELECT coalesce(sum(amount), 0), coalesce(sum(amount) FILTER (WHERE given_at > NEW.given_at - interval '24 hours'), 0),
           count(*) FILTER (WHERE given_at > NEW.given_at - interval '24 hours')
      INTO in_month, in_day, number FROM ledger_limit_use
     WHERE customer_key = NEW.customer_key AND unit = NEW.unit AND given_at > NEW.given_at - interval '720 hours';
    broken := CASE
        WHEN most.id IS NULL THEN 'ledger_limit_missing'
        WHEN NEW.amount > most.per_credit THEN 'ledger_limit_per_credit'
        WHEN by_agent > most.per_agent_day THEN 'ledger_limit_per_agent_day'
        WHEN in_month > most.per_customer_30_days THEN 'ledger_limit_per_customer_30_days'
        WHEN number >= 3 AND in_day > most.per_credit THEN 'ledger_limit_splitting' END;
    IF broken IS NOT NULL THEN
        PERFORM ledger_refuse(broken, format('A credit of %s %s is above what %s may give alone.', NEW.amount, NEW.unit,
                                             NEW.role));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_limit_guard AFTER INSERT ON ledger_limit_use
    FOR EACH ROW EXECUTE FUNCTION ledger_limit_guard();

-- At commit, a credit that a person or an API key gave counts against a limit, or was approved exactly as it stands.
CREATE FUNCTION ledger_grant_authorised() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    entry record;
BEGIN
    SELECT e.event_type, e.actor_type, e.actor_id, e.approval_id INTO entry
      FROM ledger_line l JOIN ledger_entry e ON e.id = l.entry_id
     WHERE l.account_id = NEW.account_id AND l.account_version = 1;
    IF entry.event_type IS DISTINCT FROM 'credit.granted' THEN
        RETURN NULL; -- bought, carried over, transferred, rolled over: not given
    END IF;
    IF (entry.actor_type, entry.actor_id) <> (NEW.requested_by_type, NEW.requested_by_id)
       OR entry.approval_id IS DISTINCT FROM NEW.approval_id THEN
        PERFORM ledger_refuse('ledger_grant_by_its_actor', format('Grant %s and its entry name two givers.', NEW.id));
    END IF;
    -- What was approved is one credit: an entry that issued several would give each the whole amount.
    IF NEW.approval_id IS NOT NULL AND EXISTS (
        SELECT FROM ledger_line mine
          JOIN ledger_line other ON other.entry_id = mine.entry_id AND other.account_version = 1
                                    AND other.account_id <> mine.account_id
          JOIN ledger_account a ON a.id = other.account_id AND a.for_grant
         WHERE mine.account_id = NEW.account_id AND mine.account_version = 1) THEN
        PERFORM ledger_refuse('ledger_grant_authorised',
            format('Credit grant %s is not all that its approved entry issues.', NEW.id));
    END IF;
    IF NEW.requested_by_type IN ('user', 'api_key') AND NOT EXISTS (SELECT FROM ledger_limit_use WHERE grant_id = NEW.id)
       AND NOT EXISTS (
        SELECT FROM billing_ops_approval a
         WHERE a.id = NEW.approval_id AND a.kind = 'credit.grant' AND a.status = 'approved'
           AND a.customer_key = NEW.customer_key AND a.requested_by_id = NEW.requested_by_id
           AND a.subject ->> 'unit' = NEW.unit AND (a.subject ->> 'amount')::numeric = NEW.amount
           AND a.subject ->> 'kind' = NEW.kind AND a.subject ->> 'customer_key' = NEW.customer_key) THEN
        PERFORM ledger_refuse('ledger_grant_authorised',
            format('Credit grant %s is within no limit and was not approved so.', NEW.id));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_grant_authorised AFTER INSERT ON ledger_credit_grant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_grant_authorised();

-- Which kind of approval lets an entry of that type in; NULL: any.
CREATE FUNCTION ledger_approval_kind(event_type text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE event_type
        WHEN 'credit.granted' THEN 'credit.grant'
        WHEN 'credit.transferred' THEN 'credit.transfer'
        WHEN 'credit.refunded' THEN 'credit.refund' END
$$;

-- An entry that names an approval uses it, and one that needs an approval names it; so does one that undoes an entry
-- that needed it. Plain entries cost one look at the kinds of the statement.
CREATE FUNCTION ledger_entry_approved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    e record;
    wanted text;
BEGIN
    IF NOT EXISTS (
        SELECT FROM (SELECT event_type, bool_or(approval_id IS NOT NULL OR reverses_id IS NOT NULL) AS named
                       FROM n GROUP BY event_type) kinds
          LEFT JOIN ledger_event_type t ON t.code = kinds.event_type
         WHERE kinds.named OR t.needs_approval) THEN
        RETURN NULL;
    END IF;
    FOR e IN SELECT n.id, n.public_id, n.event_type, n.customer_key, n.approval_id
               FROM n
               LEFT JOIN LATERAL (SELECT event_type FROM ledger_entry WHERE id = n.reverses_id OFFSET 0) undone ON true
               JOIN ledger_event_type t ON t.code = coalesce(undone.event_type, n.event_type)
              WHERE n.approval_id IS NOT NULL OR t.needs_approval
    LOOP
        IF e.approval_id IS NULL THEN
            PERFORM ledger_refuse('ledger_entry_needs_approval', format('Entry %s needs an approval.', e.id));
        END IF;
        wanted := ledger_approval_kind(e.event_type);
        IF NOT EXISTS (SELECT FROM billing_ops_approval a
                        WHERE a.id = e.approval_id AND a.kind = coalesce(wanted, a.kind)
                          AND (a.customer_key = '' OR a.customer_key = e.customer_key))
           OR NOT approval_use(e.approval_id, 'entry:' || e.public_id) THEN
            PERFORM ledger_refuse('ledger_entry_approved',
                format('Entry %s names an approval that is not given for it in this transaction, or is used.', e.id));
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_entry_approved AFTER INSERT ON ledger_entry
    REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION ledger_entry_approved();

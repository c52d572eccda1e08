-- What: the terms of customers and subscriptions stay as agreed; periods follow each other; a meter is billed once.
-- Who: migration 0002_guards. The triggers stand whoever writes, the tables' owner included.
-- Parameters: none. Refusals are SQLSTATE 23001 (restrict_violation), 23514 (check_violation) or 23P01
--     (exclusion_violation): IntegrityError.

CREATE FUNCTION plans_customer_terms_fixed() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (NEW.id, NEW.key) IS DISTINCT FROM (OLD.id, OLD.key) THEN
        RAISE EXCEPTION 'a customer keeps its key: usage and the ledger are recorded under it'
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
    END IF;
    IF (NEW.currency, NEW.time_zone) IS DISTINCT FROM (OLD.currency, OLD.time_zone)
       AND EXISTS (SELECT FROM plans_subscription WHERE customer_id = OLD.id) THEN
        RAISE EXCEPTION 'currency and time zone of a customer are fixed once there is a subscription'
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'customer_terms_fixed';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION plans_subscription_guard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    customer_currency text;
    version_currency text;
    published timestamptz;
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- FOR SHARE: the currency cannot change between this look and the commit.
        SELECT currency INTO customer_currency FROM plans_customer WHERE id = NEW.customer_id FOR SHARE;
        SELECT currency, published_at INTO version_currency, published
        FROM plans_planversion WHERE id = NEW.version_id FOR SHARE;
        IF published IS NULL THEN
            RAISE EXCEPTION 'a subscription needs a published plan version'
                USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'subscription_guard';
        END IF;
        IF customer_currency IS DISTINCT FROM version_currency THEN
            RAISE EXCEPTION 'the plan version is in %, the customer in %', version_currency, customer_currency
                USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'subscription_guard';
        END IF;
        IF NEW.status <> 'active' OR NEW.due_at IS DISTINCT FROM NEW.starts_at THEN
            RAISE EXCEPTION 'a subscription is born active and due at its start'
                USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'subscription_guard';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.key, NEW.customer_id, NEW.version_id, NEW.starts_at, NEW.anchor, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.key, OLD.customer_id, OLD.version_id, OLD.starts_at, OLD.anchor, OLD.created_at) THEN
        RAISE EXCEPTION 'what a subscription agreed to does not change'
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'subscription_guard';
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (('active', 'ended')) THEN
        RAISE EXCEPTION 'a subscription does not go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'subscription_guard';
    END IF;
    IF NEW.due_at < OLD.due_at THEN
        RAISE EXCEPTION 'due_at moves forward only: edges before it were billed'
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'subscription_guard';
    END IF;
    IF OLD.ends_at IS NOT NULL AND NEW.ends_at IS DISTINCT FROM OLD.ends_at THEN
        RAISE EXCEPTION 'the end of a subscription does not move'
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'subscription_guard';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION plans_item_guard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    agreed record;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.subscription_id, NEW.price_id, NEW.customer_id, NEW.meter_id, NEW.quantity, NEW.starts_at)
           IS DISTINCT FROM
           (OLD.id, OLD.subscription_id, OLD.price_id, OLD.customer_id, OLD.meter_id, OLD.quantity, OLD.starts_at)
           OR OLD.ends_at IS NOT NULL AND NEW.ends_at IS DISTINCT FROM OLD.ends_at THEN
            RAISE EXCEPTION 'an item is closed once and otherwise never changes'
                USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'item_guard',
                      HINT = 'Close it and open another.';
        END IF;
        RETURN NEW;
    END IF;
    SELECT s.customer_id, s.version_id, s.starts_at, s.ends_at INTO agreed
    FROM plans_subscription s WHERE s.id = NEW.subscription_id FOR SHARE;
    IF agreed.customer_id IS DISTINCT FROM NEW.customer_id
       OR NOT EXISTS (SELECT FROM plans_price p
                      WHERE p.id = NEW.price_id AND p.version_id = agreed.version_id
                        AND p.meter_id IS NOT DISTINCT FROM NEW.meter_id) THEN
        RAISE EXCEPTION 'an item repeats its subscription''s customer and a price of its version with that price''s meter'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'item_guard';
    END IF;
    IF NEW.starts_at < agreed.starts_at OR agreed.ends_at IS NOT NULL THEN
        RAISE EXCEPTION 'an item lies within its subscription'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'item_guard';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION plans_period_follows() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    expected timestamptz;
BEGIN
    IF NEW.number = 0 THEN
        SELECT starts_at INTO expected FROM plans_subscription WHERE id = NEW.subscription_id;
    ELSE
        SELECT ends_at INTO expected FROM plans_billingperiod
        WHERE subscription_id = NEW.subscription_id AND number = NEW.number - 1;
    END IF;
    IF NEW.starts_at IS DISTINCT FROM expected THEN
        RAISE EXCEPTION 'billing period % starts at % where % was expected', NEW.number, NEW.starts_at, expected
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'period_follows';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER customer_terms_fixed BEFORE UPDATE ON plans_customer
    FOR EACH ROW EXECUTE FUNCTION plans_customer_terms_fixed();
CREATE TRIGGER subscription_guard BEFORE INSERT OR UPDATE ON plans_subscription
    FOR EACH ROW EXECUTE FUNCTION plans_subscription_guard();
CREATE TRIGGER item_guard BEFORE INSERT OR UPDATE ON plans_subscriptionitem
    FOR EACH ROW EXECUTE FUNCTION plans_item_guard();
CREATE TRIGGER period_follows BEFORE INSERT ON plans_billingperiod
    FOR EACH ROW EXECUTE FUNCTION plans_period_follows();
CREATE TRIGGER period_is_a_fact BEFORE UPDATE OR DELETE ON plans_billingperiod
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER period_not_emptied BEFORE TRUNCATE ON plans_billingperiod
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE plans_subscriptionitem ADD CONSTRAINT item_meter_billed_once
    EXCLUDE USING gist (customer_id WITH =, meter_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
    WHERE (meter_id IS NOT NULL);

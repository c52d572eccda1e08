-- What: a published plan version, its prices and their tiers never change; only what can be rated is published.
-- Who: migration 0002_guards. The triggers stand whoever writes, the tables' owner included.
-- Parameters: none. Refusals are SQLSTATE 23001 (restrict_violation) or 23514 (check_violation): IntegrityError.

CREATE FUNCTION plans_refuse_published(version_id bigint, what text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    published timestamptz;
BEGIN
    -- FOR SHARE waits for a publication under way, and makes it wait for this row.
    SELECT published_at INTO published FROM plans_planversion WHERE id = version_id FOR SHARE;
    IF published IS NOT NULL THEN
        RAISE EXCEPTION '% is refused: the plan version was published on %', what, published
            USING ERRCODE = 'restrict_violation', HINT = 'Draft a new version of the plan.';
    END IF;
END
$$;

CREATE FUNCTION plans_version_frozen() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.published_at IS NOT NULL THEN
            RAISE EXCEPTION 'a plan version is born as a draft and published afterwards'
                USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.published_at IS NOT NULL THEN
        RAISE EXCEPTION '% of a plan version is refused: it was published on %', TG_OP, OLD.published_at
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, HINT = 'Draft a new version of the plan.';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.plan_id, NEW.number) IS DISTINCT FROM (OLD.id, OLD.plan_id, OLD.number) THEN
            RAISE EXCEPTION 'a plan version keeps its plan and its number'
                USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;
    RETURN OLD;
END
$$;

CREATE FUNCTION plans_version_publishable() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    price_key text;
BEGIN
    IF NOT EXISTS (SELECT FROM plans_price WHERE version_id = NEW.id) THEN
        RAISE EXCEPTION 'a plan version without a price is not published'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'version_publishable';
    END IF;
    SELECT p.key INTO price_key
    FROM plans_price p
    LEFT JOIN LATERAL (
        SELECT count(*) AS tiers,
               -- Sound: by position, bounds ascend, and exactly the last one is open.
               bool_and((t.up_to IS NULL) = (t.next_position IS NULL)
                        AND (t.previous_up_to IS NULL OR t.up_to IS NULL OR t.up_to > t.previous_up_to)) AS sound
        FROM (
            SELECT up_to, lag(up_to) OVER w AS previous_up_to, lead(position) OVER w AS next_position
            FROM plans_pricetier WHERE price_id = p.id WINDOW w AS (ORDER BY position)
        ) t
    ) ladder ON true
    WHERE p.version_id = NEW.id
      AND CASE WHEN p.model = 'graduated' THEN ladder.tiers = 0 OR NOT ladder.sound ELSE ladder.tiers > 0 END
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the tiers of price % cannot be rated', price_key
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'version_publishable';
    END IF;
    SELECT meter_id::text INTO price_key
    FROM plans_price WHERE version_id = NEW.id AND meter_id IS NOT NULL
    GROUP BY meter_id HAVING count(*) > 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'two prices of the version rate the same meter'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'version_publishable';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION plans_price_frozen() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM plans_refuse_published(OLD.version_id, TG_OP || ' of a price');
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    PERFORM plans_refuse_published(NEW.version_id, TG_OP || ' of a price');
    RETURN NEW;
END
$$;

CREATE FUNCTION plans_tier_frozen() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM plans_refuse_published(version_id, TG_OP || ' of a tier') FROM plans_price WHERE id = OLD.price_id;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    PERFORM plans_refuse_published(version_id, TG_OP || ' of a tier') FROM plans_price WHERE id = NEW.price_id;
    RETURN NEW;
END
$$;

CREATE FUNCTION plans_refuse_truncate() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % is refused: it holds what customers agreed to', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END
$$;

CREATE TRIGGER version_frozen BEFORE INSERT OR UPDATE OR DELETE ON plans_planversion
    FOR EACH ROW EXECUTE FUNCTION plans_version_frozen();
CREATE TRIGGER version_publishable BEFORE UPDATE ON plans_planversion
    FOR EACH ROW WHEN (OLD.published_at IS NULL AND NEW.published_at IS NOT NULL)
    EXECUTE FUNCTION plans_version_publishable();
CREATE TRIGGER price_frozen BEFORE INSERT OR UPDATE OR DELETE ON plans_price
    FOR EACH ROW EXECUTE FUNCTION plans_price_frozen();
CREATE TRIGGER tier_frozen BEFORE INSERT OR UPDATE OR DELETE ON plans_pricetier
    FOR EACH ROW EXECUTE FUNCTION plans_tier_frozen();
CREATE TRIGGER version_not_emptied BEFORE TRUNCATE ON plans_planversion
    FOR EACH STATEMENT EXECUTE FUNCTION plans_refuse_truncate();
CREATE TRIGGER price_not_emptied BEFORE TRUNCATE ON plans_price
    FOR EACH STATEMENT EXECUTE FUNCTION plans_refuse_truncate();
CREATE TRIGGER tier_not_emptied BEFORE TRUNCATE ON plans_pricetier
    FOR EACH STATEMENT EXECUTE FUNCTION plans_refuse_truncate();

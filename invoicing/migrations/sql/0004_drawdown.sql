-- What: usage of a price that settles by drawdown is drawn once and billed nowhere else, whoever writes: its steps follow
--     each other and are what their draws and returns say, its sum is where they stand, and it makes no line and no accrual.
-- Who: migration 0004_drawdown.
-- Parameters: none. Refusals are SQLSTATE 23001 (restrict_violation) or 23514 (check_violation): IntegrityError.

CREATE FUNCTION drawdown_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a drawdown stays: its draws refer to it' USING ERRCODE = 'restrict_violation';
    ELSIF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.item_id, NEW.service_start, NEW.service_end)
               IS DISTINCT FROM (OLD.id, OLD.item_id, OLD.service_start, OLD.service_end)
           OR NEW.steps < OLD.steps THEN
            RAISE EXCEPTION 'a drawdown keeps its item and period, and only goes on' USING ERRCODE = 'restrict_violation';
        END IF;
    ELSIF NOT EXISTS (
        SELECT FROM plans_subscriptionitem i JOIN plans_price p ON p.id = i.price_id
         WHERE i.id = NEW.item_id AND p.settlement = 'drawdown' AND p.meter_id IS NOT NULL
           AND i.starts_at <= NEW.service_start AND (i.ends_at IS NULL OR NEW.service_end <= i.ends_at)) THEN
        RAISE EXCEPTION 'item % does not settle by drawdown in that period', NEW.item_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER drawdown_keeps BEFORE INSERT OR UPDATE OR DELETE ON invoicing_drawdown
    FOR EACH ROW EXECUTE FUNCTION drawdown_guard();
CREATE TRIGGER drawdown_is_not_emptied BEFORE TRUNCATE ON invoicing_drawdown
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- At commit: what was accounted for is where the last step stands. Called for either table.
CREATE FUNCTION drawdown_explained() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    wanted bigint := CASE WHEN TG_TABLE_NAME = 'invoicing_drawdown' THEN (to_jsonb(NEW) ->> 'id')::bigint
                          ELSE (to_jsonb(NEW) ->> 'drawdown_id')::bigint END;
    stated record;
    last record;
BEGIN
    SELECT steps, accounted INTO stated FROM invoicing_drawdown WHERE id = wanted;
    SELECT step, cumulative_amount INTO last FROM invoicing_usagedraw WHERE drawdown_id = wanted ORDER BY step DESC LIMIT 1;
    IF (stated.steps, stated.accounted) IS DISTINCT FROM (coalesce(last.step, 0), coalesce(last.cumulative_amount, 0)) THEN
        RAISE EXCEPTION 'drawdown % says % in % steps, and its steps say % in %', wanted, stated.accounted, stated.steps,
            coalesce(last.cumulative_amount, 0), coalesce(last.step, 0) USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER drawdown_explained AFTER INSERT OR UPDATE ON invoicing_drawdown
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION drawdown_explained();
CREATE CONSTRAINT TRIGGER usage_draw_explains AFTER INSERT ON invoicing_usagedraw
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION drawdown_explained();

CREATE FUNCTION usage_draw_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    of record;
    before numeric := 0;
BEGIN
    SELECT dd.service_start, dd.service_end, c.key, v.currency INTO of
      FROM invoicing_drawdown dd
      JOIN plans_subscriptionitem i ON i.id = dd.item_id
      JOIN plans_customer c ON c.id = i.customer_id
      JOIN plans_price p ON p.id = i.price_id
      JOIN plans_planversion v ON v.id = p.version_id
     WHERE dd.id = NEW.drawdown_id;
    IF NEW.step > 1 THEN
        SELECT cumulative_amount INTO before
          FROM invoicing_usagedraw WHERE drawdown_id = NEW.drawdown_id AND step = NEW.step - 1;
    END IF;
    IF NEW.step < 1 OR before IS NULL OR NEW.cumulative_amount <> before + NEW.amount THEN
        RAISE EXCEPTION 'step % of drawdown % does not follow the one before it', NEW.step, NEW.drawdown_id
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.draw_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM ledger_credit_draw d JOIN ledger_credit_wallet w ON w.id = d.wallet_id
         WHERE d.id = NEW.draw_id AND d.amount = NEW.amount AND d.amount - d.shortfall = NEW.drawn
           AND coalesce(d.overage, 0) = NEW.overage AND d.entry_id = NEW.entry_id AND d.used_at = NEW.used_at
           AND w.customer_key = of.key AND w.unit = of.currency
           AND d.used_at >= of.service_start AND d.used_at < of.service_end) THEN
        RAISE EXCEPTION 'draw % did not pay for that usage', NEW.draw_id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.returned_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM ledger_credit_return r JOIN invoicing_usagedraw u ON u.draw_id = r.draw_id
         WHERE r.id = NEW.returned_id AND u.drawdown_id = NEW.drawdown_id AND r.amount = -NEW.amount
           AND r.overage_money = -NEW.overage AND r.entry_id = NEW.entry_id) THEN
        RAISE EXCEPTION 'return % gave back nothing of that usage', NEW.returned_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER usage_draw_follows BEFORE INSERT ON invoicing_usagedraw
    FOR EACH ROW EXECUTE FUNCTION usage_draw_guard();
CREATE TRIGGER usage_draw_rows_are_facts BEFORE UPDATE OR DELETE ON invoicing_usagedraw
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER usage_draw_is_not_emptied BEFORE TRUNCATE ON invoicing_usagedraw
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What was drawn for usage comes back only by a correction of that usage, else the usage would no longer be paid for.
CREATE FUNCTION usage_returned_by_usage() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM invoicing_usagedraw WHERE draw_id = NEW.draw_id)
       AND NOT EXISTS (SELECT FROM invoicing_usagedraw WHERE returned_id = NEW.id) THEN
        RAISE EXCEPTION 'draw % pays for metered usage: take the usage back', NEW.draw_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER usage_returned_by_usage AFTER INSERT ON ledger_credit_return
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION usage_returned_by_usage();

-- Used once, paid once: what is drawn as it arrives is neither billed in arrears nor accrued.
CREATE FUNCTION refuse_drawn_usage() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM plans_subscriptionitem i JOIN plans_price p ON p.id = i.price_id
                WHERE i.id = NEW.item_id AND p.settlement = 'drawdown') THEN
        RAISE EXCEPTION 'item % settles by drawdown: its usage is drawn, and its overage is billed', NEW.item_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_line_not_drawn BEFORE INSERT ON invoicing_invoiceline
    FOR EACH ROW WHEN (NEW.kind = 'usage') EXECUTE FUNCTION refuse_drawn_usage();
CREATE TRIGGER accrual_not_drawn BEFORE INSERT ON invoicing_accrual
    FOR EACH ROW EXECUTE FUNCTION refuse_drawn_usage();

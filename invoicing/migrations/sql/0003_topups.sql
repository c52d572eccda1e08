-- What the database holds about top-ups and overage whoever writes. Replaces invoice_sums_guard of 0002: a top-up's
-- invoice is posted by topup.invoiced, and by balance.applied for what the customer balance pays of it.

CREATE OR REPLACE FUNCTION invoice_sums_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    sums record;
    receivable numeric;
    finalised_by text;
BEGIN
    SELECT coalesce(sum(amount), 0) AS subtotal, coalesce(sum(credits_applied), 0) AS credits,
           coalesce(sum(tax_amount), 0) AS tax,
           coalesce(bool_or(kind = 'topup'), false) AS topup, coalesce(bool_and(kind = 'topup'), false) AS only_topup
        INTO sums FROM invoicing_invoiceline WHERE invoice_id = NEW.id;
    IF (sums.subtotal, sums.credits, sums.tax) IS DISTINCT FROM (NEW.subtotal, NEW.credits_applied, NEW.tax_total) THEN
        RAISE EXCEPTION 'invoice % does not add up: its lines say %, % and %',
            NEW.public_id, sums.subtotal, sums.credits, sums.tax USING ERRCODE = 'check_violation';
    END IF;
    IF sums.topup AND NOT sums.only_topup THEN
        RAISE EXCEPTION 'a top-up has an invoice of its own' USING ERRCODE = 'check_violation';
    END IF;
    finalised_by := CASE WHEN sums.topup THEN 'topup.invoiced' ELSE 'invoice.finalized' END;
    SELECT coalesce(sum(l.side * l.amount), 0) INTO receivable
        FROM ledger_line l JOIN ledger_account a ON a.id = l.account_id
        WHERE a.code = '1100' AND a.unit = NEW.currency
          AND (l.entry_id = NEW.entry_id
               OR sums.topup AND l.entry_id IN (SELECT e.id FROM ledger_entry e WHERE e.invoice_ref = NEW.public_id
                                                 AND e.event_type = 'balance.applied'));
    IF receivable <> NEW.amount_due THEN
        RAISE EXCEPTION 'invoice % is due % and its entry posts %', NEW.public_id, NEW.amount_due, receivable
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.entry_id IS NULL AND (NEW.subtotal, NEW.credits_applied, NEW.tax_total, NEW.balance_applied) <> (0, 0, 0, 0)
       OR NEW.entry_id IS NOT NULL AND NOT EXISTS (
           SELECT FROM ledger_entry e JOIN plans_customer c ON c.id = NEW.customer_id
           WHERE e.id = NEW.entry_id AND e.event_type = finalised_by
             AND e.invoice_ref = NEW.public_id AND e.customer_key = c.key) THEN
        RAISE EXCEPTION 'entry % did not finalise invoice %', NEW.entry_id, NEW.public_id USING ERRCODE = 'check_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM invoicing_numberseries WHERE NEW.number = invoice_number_text(prefix, next_number - 1)) THEN
        RAISE EXCEPTION 'number % was not taken from its series', NEW.number USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

-- Top-ups: what was ordered stays; open becomes paid or void, once.
CREATE FUNCTION top_up_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    living constant text[] := ARRAY['status', 'grant_id', 'settled_at', 'void_entry_id'];
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'open' THEN
            RAISE EXCEPTION 'a top-up begins as an order' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'top-up % cannot be deleted', OLD.public_id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status <> 'open' OR to_jsonb(NEW) - living IS DISTINCT FROM to_jsonb(OLD) - living THEN
        RAISE EXCEPTION 'top-up % is %: what was ordered stays', OLD.public_id, OLD.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER top_up_keeps BEFORE INSERT OR UPDATE OR DELETE ON invoicing_topup
    FOR EACH ROW EXECUTE FUNCTION top_up_guard();
CREATE TRIGGER top_up_is_not_emptied BEFORE TRUNCATE ON invoicing_topup
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- At commit: its credit is there if and only if its invoice is paid, exactly what was ordered and for this invoice; it is
-- void if and only if its invoice is.
CREATE FUNCTION top_up_fulfilled() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    t invoicing_topup;
    i invoicing_invoice;
BEGIN
    IF TG_TABLE_NAME = 'invoicing_topup' THEN
        SELECT * INTO t FROM invoicing_topup WHERE id = NEW.id;
    ELSE
        SELECT * INTO t FROM invoicing_topup WHERE invoice_id = NEW.id;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    SELECT * INTO i FROM invoicing_invoice WHERE id = t.invoice_id;
    IF (i.customer_id, i.currency, i.subtotal) IS DISTINCT FROM (t.customer_id, t.currency, t.price)
       OR i.status NOT IN ('draft', 'open', 'paid', 'void')
       OR (t.status = 'paid') <> (i.status = 'paid') OR (t.status = 'void') <> (i.status = 'void') THEN
        RAISE EXCEPTION 'top-up % is % and its invoice %', t.public_id, t.status, i.status USING ERRCODE = 'check_violation';
    END IF;
    IF t.status = 'paid' AND NOT EXISTS (
        SELECT FROM ledger_credit_grant g
          JOIN plans_customer c ON c.key = g.customer_key AND c.id = t.customer_id
          JOIN ledger_line l ON l.account_id = g.account_id AND l.account_version = 1
          JOIN ledger_entry e ON e.id = l.entry_id AND e.event_type = 'credit.bought'
         WHERE g.id = t.grant_id AND g.kind = 'paid' AND g.unit = t.unit AND g.amount = t.quantity
           AND coalesce(g.cost_basis, g.amount) = t.price AND g.source_invoice = i.public_id) THEN
        RAISE EXCEPTION 'the credit of top-up % is not what was ordered', t.public_id USING ERRCODE = 'check_violation';
    END IF;
    IF t.status = 'void' AND NOT EXISTS (
        SELECT FROM ledger_entry e WHERE e.id = t.void_entry_id AND e.event_type = 'topup.voided'
           AND e.invoice_ref = i.public_id) THEN
        RAISE EXCEPTION 'top-up % is void and still owed', t.public_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER top_up_fulfilled AFTER INSERT OR UPDATE ON invoicing_topup
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION top_up_fulfilled();
CREATE CONSTRAINT TRIGGER invoice_of_top_up_fulfilled AFTER UPDATE OF status ON invoicing_invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.status <> OLD.status AND NEW.trigger LIKE 'topup:%')
    EXECUTE FUNCTION top_up_fulfilled();

CREATE TRIGGER auto_top_up_rows_are_facts BEFORE UPDATE OR DELETE ON invoicing_autotopup
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER auto_top_up_is_not_emptied BEFORE TRUNCATE ON invoicing_autotopup
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER overage_bill_rows_are_facts BEFORE UPDATE OR DELETE ON invoicing_overagebill
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER overage_bill_is_not_emptied BEFORE TRUNCATE ON invoicing_overagebill
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Bills of an account follow each other without a gap, and each is what its line says.
CREATE FUNCTION overage_bill_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.after_version <> coalesce((SELECT max(through_version) FROM invoicing_overagebill
                                       WHERE account_id = NEW.account_id AND id < NEW.id), 0) THEN
        RAISE EXCEPTION 'overage of account % was billed up to another version', NEW.account_id USING ERRCODE = 'check_violation';
    END IF;
    IF NOT EXISTS (
        SELECT FROM invoicing_invoiceline l
          JOIN invoicing_invoice i ON i.id = l.invoice_id
          JOIN plans_customer c ON c.id = i.customer_id
          JOIN ledger_account a ON a.id = NEW.account_id AND a.code = '1110' AND a.customer_key = c.key AND a.unit = i.currency
          JOIN ledger_balance b ON b.account_id = a.id AND b.version >= NEW.through_version
         WHERE l.id = NEW.line_id AND l.kind = 'overage' AND l.unrounded_amount = NEW.amount
           AND l.cumulative_amount = NEW.cumulative) THEN
        RAISE EXCEPTION 'line % does not bill that overage', NEW.line_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER overage_bill_of_line AFTER INSERT ON invoicing_overagebill
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION overage_bill_guard();

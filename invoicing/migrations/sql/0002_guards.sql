-- What the database holds about invoices whoever writes: a frozen invoice, its lines, and the tables of allowed changes
-- of status (compared with invoicing/rules/lifecycle.py by a test).

CREATE FUNCTION invoice_status_may_change(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT (before, after) IN (
        ('draft', 'open'),
        ('open', 'paid'), ('open', 'void'), ('open', 'uncollectible'),
        ('uncollectible', 'paid'), ('uncollectible', 'void'),
        ('paid', 'open')
    )
$$;

CREATE FUNCTION attempt_status_may_change(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT (before, after) IN (('pending', 'succeeded'), ('pending', 'failed'))
$$;

CREATE FUNCTION invoice_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    -- What may still change on a finalised invoice: how it is collected and paid. Its content may not.
    living constant text[] := ARRAY['status', 'amount_paid', 'paid_at', 'stripe_id', 'collected_with_id'];
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'draft' THEN
            RAISE EXCEPTION 'an invoice begins as a draft' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'invoice % cannot be deleted', OLD.public_id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status <> OLD.status AND NOT invoice_status_may_change(OLD.status, NEW.status) THEN
        RAISE EXCEPTION 'invoice % is % and cannot become %', OLD.public_id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.status <> 'draft' AND to_jsonb(NEW) - living IS DISTINCT FROM to_jsonb(OLD) - living THEN
        RAISE EXCEPTION 'invoice % is final: correct it by another document', OLD.public_id USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.public_id, NEW.customer_id, NEW.currency, NEW.trigger)
        IS DISTINCT FROM (OLD.public_id, OLD.customer_id, OLD.currency, OLD.trigger) THEN
        RAISE EXCEPTION 'the key of invoice % cannot change', OLD.public_id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.stripe_id IS NOT NULL AND NEW.stripe_id IS DISTINCT FROM OLD.stripe_id THEN
        RAISE EXCEPTION 'invoice % has its mirror already', OLD.public_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER invoice_frozen BEFORE INSERT OR UPDATE OR DELETE ON invoicing_invoice
    FOR EACH ROW EXECUTE FUNCTION invoice_guard();
CREATE TRIGGER invoice_is_not_emptied BEFORE TRUNCATE ON invoicing_invoice
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION invoice_line_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    found_status text;
    found_currency text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'an invoice line cannot be deleted' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.invoice_id <> OLD.invoice_id THEN
        RAISE EXCEPTION 'a line cannot move to another invoice' USING ERRCODE = 'check_violation';
    END IF;
    -- The lock waits for a finalisation in flight and then sees its result.
    SELECT status, currency INTO found_status, found_currency
        FROM invoicing_invoice WHERE id = NEW.invoice_id FOR SHARE;
    IF found_status IS DISTINCT FROM 'draft' THEN
        RAISE EXCEPTION 'the invoice of this line is final' USING ERRCODE = 'check_violation';
    END IF;
    IF found_currency <> NEW.currency THEN
        RAISE EXCEPTION 'a line in % on an invoice in %', NEW.currency, found_currency USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER invoice_line_frozen BEFORE INSERT OR UPDATE OR DELETE ON invoicing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION invoice_line_guard();
CREATE TRIGGER invoice_line_is_not_emptied BEFORE TRUNCATE ON invoicing_invoiceline
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION invoice_number_text(prefix text, number integer) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT prefix || '-' || lpad(number::text, greatest(6, length(number::text)), '0')
$$;

-- A finalised invoice's subtotal, credits and tax are the sums of its lines; what is due of it is what its entry put on
-- the customer's receivable; that entry is this invoice's and no other's; and its number is the one that its series just
-- gave.
CREATE FUNCTION invoice_sums_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    sums record;
    receivable numeric;
BEGIN
    SELECT coalesce(sum(amount), 0) AS subtotal, coalesce(sum(credits_applied), 0) AS credits,
           coalesce(sum(tax_amount), 0) AS tax
        INTO sums FROM invoicing_invoiceline WHERE invoice_id = NEW.id;
    IF (sums.subtotal, sums.credits, sums.tax) IS DISTINCT FROM (NEW.subtotal, NEW.credits_applied, NEW.tax_total) THEN
        RAISE EXCEPTION 'invoice % does not add up: its lines say %, % and %',
            NEW.public_id, sums.subtotal, sums.credits, sums.tax USING ERRCODE = 'check_violation';
    END IF;
    SELECT coalesce(sum(l.side * l.amount), 0) INTO receivable
        FROM ledger_line l JOIN ledger_account a ON a.id = l.account_id
        WHERE l.entry_id = NEW.entry_id AND a.code = '1100' AND a.unit = NEW.currency;
    IF receivable <> NEW.amount_due THEN
        RAISE EXCEPTION 'invoice % is due % and its entry posts %', NEW.public_id, NEW.amount_due, receivable
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.entry_id IS NULL AND (NEW.subtotal, NEW.credits_applied, NEW.tax_total, NEW.balance_applied) <> (0, 0, 0, 0)
       OR NEW.entry_id IS NOT NULL AND NOT EXISTS (
           SELECT FROM ledger_entry e JOIN plans_customer c ON c.id = NEW.customer_id
           WHERE e.id = NEW.entry_id AND e.event_type = 'invoice.finalized'
             AND e.invoice_ref = NEW.public_id AND e.customer_key = c.key) THEN
        RAISE EXCEPTION 'entry % did not finalise invoice %', NEW.entry_id, NEW.public_id USING ERRCODE = 'check_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM invoicing_numberseries WHERE NEW.number = invoice_number_text(prefix, next_number - 1)) THEN
        RAISE EXCEPTION 'number % was not taken from its series', NEW.number USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER invoice_adds_up AFTER UPDATE OF status ON invoicing_invoice
    FOR EACH ROW WHEN (OLD.status = 'draft' AND NEW.status <> 'draft') EXECUTE FUNCTION invoice_sums_guard();

CREATE FUNCTION payment_attempt_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a payment attempt cannot be deleted' USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.invoice_id, NEW.number, NEW.idempotency_key, NEW.currency, NEW.amount)
        IS DISTINCT FROM (OLD.invoice_id, OLD.number, OLD.idempotency_key, OLD.currency, OLD.amount) THEN
        RAISE EXCEPTION 'what payment attempt % asks for cannot change', OLD.idempotency_key USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status <> OLD.status AND NOT attempt_status_may_change(OLD.status, NEW.status) THEN
        RAISE EXCEPTION 'payment attempt % is % and cannot become %', OLD.idempotency_key, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER payment_attempt_answered BEFORE UPDATE OR DELETE ON invoicing_paymentattempt
    FOR EACH ROW EXECUTE FUNCTION payment_attempt_guard();

CREATE TRIGGER payment_attempt_is_not_emptied BEFORE TRUNCATE ON invoicing_paymentattempt
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Numbers begin at one and only go up by one, and what is taken is used by the end of the transaction: no gaps.
CREATE FUNCTION number_series_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.next_number <> 1 THEN
            RAISE EXCEPTION 'series % begins at one', NEW.prefix USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR NEW.prefix <> OLD.prefix OR NEW.next_number <> OLD.next_number + 1 THEN
        RAISE EXCEPTION 'series % only goes to its next number', OLD.prefix USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER number_series_gapless BEFORE INSERT OR UPDATE OR DELETE ON invoicing_numberseries
    FOR EACH ROW EXECUTE FUNCTION number_series_guard();
CREATE TRIGGER number_series_is_not_emptied BEFORE TRUNCATE ON invoicing_numberseries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION number_used_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM invoicing_invoice WHERE number = invoice_number_text(OLD.prefix, OLD.next_number)) THEN
        RAISE EXCEPTION 'number % was taken and not used', invoice_number_text(OLD.prefix, OLD.next_number)
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER number_series_used AFTER UPDATE ON invoicing_numberseries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION number_used_guard();

-- What Stripe told stays as it came; how its handling went is written beside it.
CREATE FUNCTION stripe_event_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    living constant text[] := ARRAY['handled_at', 'outcome', 'tries', 'next_try_at', 'error', 'parked_at'];
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'event % cannot be deleted', OLD.event_id USING ERRCODE = 'check_violation';
    END IF;
    IF to_jsonb(NEW) - living IS DISTINCT FROM to_jsonb(OLD) - living THEN
        RAISE EXCEPTION 'event % stays as it came', OLD.event_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER stripe_event_as_it_came BEFORE UPDATE OR DELETE ON invoicing_stripeevent
    FOR EACH ROW EXECUTE FUNCTION stripe_event_guard();
CREATE TRIGGER stripe_event_is_not_emptied BEFORE TRUNCATE ON invoicing_stripeevent
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Accruals, recognitions and payments are facts.
CREATE TRIGGER accrual_rows_are_facts BEFORE UPDATE OR DELETE ON invoicing_accrual
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER accrual_is_not_emptied BEFORE TRUNCATE ON invoicing_accrual
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER recognition_rows_are_facts BEFORE UPDATE OR DELETE ON invoicing_recognition
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER recognition_is_not_emptied BEFORE TRUNCATE ON invoicing_recognition
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payment_rows_are_facts BEFORE UPDATE OR DELETE ON invoicing_payment
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payment_is_not_emptied BEFORE TRUNCATE ON invoicing_payment
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

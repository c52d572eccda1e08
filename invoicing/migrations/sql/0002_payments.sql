-- What invoices say is paid is what payments settled. By customer and currency, at every commit: one payment settles
-- its invoice and the small ones that the mirror carried, and those are let go of afterwards.

CREATE FUNCTION invoice_paid_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.status = 'draft' OR NEW.amount_paid < 0 OR NEW.amount_paid > NEW.amount_due
       OR NEW.amount_paid < OLD.amount_paid AND NOT (OLD.status = 'paid' AND NEW.status = 'open') THEN
        RAISE EXCEPTION 'invoice % cannot say that % is paid', NEW.public_id, NEW.amount_paid
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER invoice_paid_from_nothing BEFORE INSERT ON invoicing_invoice
    FOR EACH ROW WHEN (NEW.amount_paid <> 0) EXECUTE FUNCTION invoice_paid_guard();
CREATE TRIGGER invoice_paid_up_to_due BEFORE UPDATE ON invoicing_invoice
    FOR EACH ROW WHEN (NEW.amount_paid IS DISTINCT FROM OLD.amount_paid) EXECUTE FUNCTION invoice_paid_guard();

-- A payment is what its entry posted: the cash, and what of it settled receivables.
CREATE FUNCTION payment_posted_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    posted record;
BEGIN
    SELECT coalesce(sum(l.side * l.amount) FILTER (WHERE a.code = '1010'), 0) AS amount,
           coalesce(sum(-l.side * l.amount) FILTER (WHERE a.code = '1100'), 0) AS applied
        INTO posted
        FROM invoicing_invoice i
        JOIN plans_customer c ON c.id = i.customer_id
        JOIN ledger_entry e ON e.id = NEW.entry_id AND e.event_type = 'payment.succeeded'
            AND e.invoice_ref = i.public_id AND e.customer_key = c.key
        JOIN ledger_line l ON l.entry_id = e.id
        JOIN ledger_account a ON a.id = l.account_id AND a.unit = NEW.currency
        WHERE i.id = NEW.invoice_id AND i.currency = NEW.currency;
    IF (posted.amount, posted.applied) IS DISTINCT FROM (NEW.amount, NEW.applied) OR NEW.amount <= 0 THEN
        RAISE EXCEPTION 'payment % says % and %, its entry posts % and %',
            NEW.stripe_charge_id, NEW.amount, NEW.applied, posted.amount, posted.applied USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER payment_posted AFTER INSERT ON invoicing_payment
    FOR EACH ROW EXECUTE FUNCTION payment_posted_guard();

-- Both sides in one sum: whoever changes only one of them is refused, and two that meet each see their own half wrong.
CREATE FUNCTION payments_settle_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    owner bigint;
    said numeric;
    settled numeric;
BEGIN
    IF TG_TABLE_NAME = 'invoicing_payment' THEN
        SELECT customer_id INTO owner FROM invoicing_invoice WHERE id = NEW.invoice_id;
    ELSE
        owner := NEW.customer_id;
    END IF;
    SELECT coalesce(sum(i.amount_paid), 0),
           coalesce(sum((SELECT sum(p.applied) FROM invoicing_payment p WHERE p.invoice_id = i.id)), 0)
        INTO said, settled FROM invoicing_invoice i WHERE i.customer_id = owner AND i.currency = NEW.currency;
    IF said <> settled THEN
        RAISE EXCEPTION 'the invoices of customer % say that % % is paid, its payments settled %',
            owner, NEW.currency, said, settled USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER invoice_paid_by_payments AFTER UPDATE ON invoicing_invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.amount_paid IS DISTINCT FROM OLD.amount_paid)
    EXECUTE FUNCTION payments_settle_guard();
CREATE CONSTRAINT TRIGGER payment_settles_invoices AFTER INSERT ON invoicing_payment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payments_settle_guard();

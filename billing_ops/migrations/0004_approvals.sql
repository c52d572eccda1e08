-- What: what holds an approval whoever writes: its content and hash, who may decide, how statuses move, one use.
-- Who: migration 0004_approvals. Other apps ask approval_in_force() in their own triggers before they let a fact in
--      that needs an approval, and mark it used by approval_use().
-- Parameters: none. Refusals are integrity errors that name their rule as the violated constraint.

-- The transaction that approved it: an approval is used there or nowhere, so it can be neither kept nor expire.
ALTER TABLE billing_ops_approval ADD COLUMN decided_xid xid8;

-- Case, width, space around a name and characters that nobody sees do not make another person; nor does coming by
-- another door.
CREATE FUNCTION approval_person(name text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT lower(btrim(regexp_replace(normalize(name, NFKC),
        '[\u00AD\u034F\u061C\u180E\u200B-\u200F\u202A-\u202E\u2060-\u206F\uFEFF]', '', 'g'), E' \t\r\n'))
$$;
ALTER TABLE billing_ops_approval ADD CONSTRAINT approval_by_another_person CHECK (
    decided_by_id = '' OR approval_person(decided_by_id) <> approval_person(requested_by_id));

CREATE FUNCTION approval_may_become(before text, after text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT before = 'pending' AND after IN ('approved', 'rejected', 'withdrawn', 'expired', 'void')
$$;

CREATE FUNCTION approval_refuse(rule text, reason text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', reason USING ERRCODE = 'check_violation', CONSTRAINT = rule;
END $$;

CREATE FUNCTION approval_born() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.status <> 'pending' OR NEW.used_at IS NOT NULL THEN
        PERFORM approval_refuse('approval_born_pending', 'An approval is asked for before it is decided.');
    END IF;
    IF NEW.content_hash <> encode(sha256(convert_to(NEW.subject::text, 'UTF8')), 'hex') THEN
        PERFORM approval_refuse('approval_content_hash', 'The hash is not that of the content.');
    END IF;
    NEW.decided_xid := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_born BEFORE INSERT ON billing_ops_approval FOR EACH ROW EXECUTE FUNCTION approval_born();

CREATE FUNCTION approval_keep() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    decision CONSTANT text[] := '{status,decided_by_type,decided_by_id,decided_by_label,decided_at,decision_note,decided_xid,used_at,used_for}';
    use CONSTANT text[] := '{used_at,used_for}';
BEGIN
    IF (to_jsonb(NEW) - decision) <> (to_jsonb(OLD) - decision) THEN
        PERFORM approval_refuse('approval_content_fixed',
            'What was asked for never changes: ask again, and let the old request be void.');
    END IF;
    IF NEW.status <> OLD.status THEN
        IF NOT approval_may_become(OLD.status, NEW.status) THEN
            PERFORM approval_refuse('approval_transition', format('%s cannot become %s.', OLD.status, NEW.status));
        END IF;
        -- Who made the key that asked, by the trail, is who asked.
        IF NEW.requested_by_type = 'api_key' AND NEW.decided_by_id <> '' AND EXISTS (
            SELECT FROM billing_ops_auditentry
             WHERE subject_type = 'api_key' AND subject_key = NEW.requested_by_id AND action = 'api_key.issued'
               AND approval_person(actor_id) = approval_person(NEW.decided_by_id)) THEN
            PERFORM approval_refuse('approval_by_another_person', 'A key that one issued is no other person.');
        END IF;
        IF NEW.used_at IS NOT NULL THEN
            PERFORM approval_refuse('approval_used_once', 'An approval is given before it is used.');
        END IF;
        NEW.decided_xid := CASE NEW.status WHEN 'approved' THEN pg_current_xact_id() END;
    ELSIF (to_jsonb(NEW) - use) <> (to_jsonb(OLD) - use) THEN
        PERFORM approval_refuse('approval_decision_fixed', 'A decision never changes.');
    ELSIF (NEW.used_at, NEW.used_for) IS DISTINCT FROM (OLD.used_at, OLD.used_for)
          AND (OLD.used_at IS NOT NULL OR OLD.decided_xid IS DISTINCT FROM pg_current_xact_id()) THEN
        PERFORM approval_refuse('approval_used_once',
            'An approval is used once, in the transaction that gives it.');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_keep BEFORE UPDATE ON billing_ops_approval FOR EACH ROW EXECUTE FUNCTION approval_keep();

-- Approving does what was asked for: an approval that led to nothing does not commit.
CREATE FUNCTION approval_leads_somewhere() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_ops_approval WHERE id = NEW.id AND status = 'approved' AND used_at IS NULL) THEN
        PERFORM approval_refuse('approval_leads_somewhere', format('Approval %s was given and not used.', NEW.id));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER approval_leads_somewhere AFTER UPDATE ON billing_ops_approval
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.status = 'approved' AND NEW.used_at IS NULL)
    EXECUTE FUNCTION approval_leads_somewhere();

CREATE TRIGGER approval_is_never_removed BEFORE DELETE ON billing_ops_approval
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER approval_is_not_emptied BEFORE TRUNCATE ON billing_ops_approval
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The content of an approval of that kind, given in this transaction, not used yet, its hash right; otherwise nothing.
CREATE FUNCTION approval_in_force(approval bigint, of_kind text) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT subject FROM billing_ops_approval
     WHERE id = approval AND kind = of_kind AND status = 'approved' AND used_at IS NULL
       AND decided_xid = pg_current_xact_id_if_assigned() AND decided_at < expires_at
       AND content_hash = encode(sha256(convert_to(subject::text, 'UTF8')), 'hex')
$$;

-- Use an approval that is in force for that; whether it was. A second use, also at the same moment, is not.
CREATE FUNCTION approval_use(approval bigint, used text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE billing_ops_approval SET used_at = decided_at, used_for = used
     WHERE id = approval AND status = 'approved' AND used_at IS NULL AND decided_at < expires_at
       AND decided_xid = pg_current_xact_id() AND content_hash = encode(sha256(convert_to(subject::text, 'UTF8')), 'hex');
    RETURN FOUND;
END $$;

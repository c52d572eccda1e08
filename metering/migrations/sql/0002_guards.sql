-- Facts stay as they were written, whoever writes: the owner and a superuser meet these triggers too.
CREATE FUNCTION metering_refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'A correction is a new fact.';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON metering_event
    FOR EACH ROW EXECUTE FUNCTION metering_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON metering_event
    FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON metering_event_default
    FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON metering_event_key
    FOR EACH ROW EXECUTE FUNCTION metering_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON metering_event_key
    FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON metering_conflict
    FOR EACH ROW EXECUTE FUNCTION metering_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON metering_conflict
    FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON metering_fold
    FOR EACH ROW EXECUTE FUNCTION metering_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON metering_fold
    FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();

-- A batch changes once: from unfolded to folded.
CREATE FUNCTION metering_guard_batch() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF OLD.fold_id IS NULL AND NEW.fold_id IS NOT NULL
       AND to_jsonb(OLD) - 'fold_id' = to_jsonb(NEW) - 'fold_id' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'batch % is written: it can only be folded, once', OLD.id USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER folded_once BEFORE UPDATE ON metering_batch
    FOR EACH ROW EXECUTE FUNCTION metering_guard_batch();
CREATE TRIGGER append_only BEFORE DELETE ON metering_batch
    FOR EACH ROW EXECUTE FUNCTION metering_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON metering_batch
    FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();

-- What a meter counts never changes; its name and whether it is offered may.
CREATE FUNCTION metering_guard_meter() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF to_jsonb(OLD) - 'name' - 'archived_at' = to_jsonb(NEW) - 'name' - 'archived_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'meter % is defined: only its name and archived_at may change', OLD.key
        USING ERRCODE = 'restrict_violation', HINT = 'Define another meter.';
END $$;
CREATE TRIGGER immutable BEFORE UPDATE ON metering_meter
    FOR EACH ROW EXECUTE FUNCTION metering_guard_meter();
CREATE TRIGGER append_only BEFORE DELETE ON metering_meter
    FOR EACH ROW EXECUTE FUNCTION metering_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON metering_meter
    FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();

-- A meter's catching up only moves forward.
CREATE FUNCTION metering_guard_progress() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF OLD.caught_up_at IS NULL AND NEW.meter_id = OLD.meter_id AND NEW.after_fold = OLD.after_fold
       AND NEW.cursor >= OLD.cursor THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the progress of meter % only moves forward', OLD.meter_id USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER forward_only BEFORE UPDATE ON metering_meterprogress
    FOR EACH ROW EXECUTE FUNCTION metering_guard_progress();

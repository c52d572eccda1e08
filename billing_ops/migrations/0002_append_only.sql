-- What: the trigger function behind every append-only table, and the audit trail as its first user.
-- Who: migrations 0002_append_only here, and the migrations of other apps that protect their facts:
--      CREATE TRIGGER … BEFORE UPDATE OR DELETE ON <table> FOR EACH ROW EXECUTE FUNCTION refuse_change();
--      CREATE TRIGGER … BEFORE TRUNCATE ON <table> FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- Parameters: none. The error is SQLSTATE 23001 (restrict_violation), which Django raises as IntegrityError.
CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: its rows are facts and only ever added', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME,
              HINT = 'Record a correction as a new row.';
END
$$;

CREATE TRIGGER auditentry_rows_are_facts BEFORE UPDATE OR DELETE ON billing_ops_auditentry
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER auditentry_is_not_emptied BEFORE TRUNCATE ON billing_ops_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER idempotencyrecord_rows_are_facts BEFORE UPDATE OR DELETE ON billing_ops_idempotencyrecord
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER idempotencyrecord_is_not_emptied BEFORE TRUNCATE ON billing_ops_idempotencyrecord
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

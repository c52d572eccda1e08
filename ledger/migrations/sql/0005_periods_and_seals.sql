-- what:       what holds the states of a period and the chain of seals, whoever writes
-- called by:  migration 0005_periods_and_seals
-- parameters: none
--
-- A period changes by a row of its history: the row is checked and moves the period. A seal is written by one function
-- and by nobody else.

-- Periods -------------------------------------------------------------------------------------------------------------

-- What was closed before there was a history gets one.
INSERT INTO ledger_period_change
    (period_id, from_status, to_status, at, recorded_at, actor_type, actor_id, actor_label, reason, note)
SELECT id, 'open', status, closed_at, clock_timestamp(), 'system', 'history', closed_by, 'before_history',
       'Closed before the history of periods was kept.'
  FROM ledger_period WHERE status <> 'open' ORDER BY book_id, starts_on;
UPDATE ledger_period p SET changed_at = c.recorded_at FROM ledger_period_change c WHERE c.period_id = p.id;
SET CONSTRAINTS ALL IMMEDIATE;

CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_period_change
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE FUNCTION ledger_book_lock_class() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7262003';

-- Wait for the postings in flight and keep others out until we commit; the period's status.
CREATE FUNCTION ledger_hold_period(period bigint) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(ledger_book_lock_class(), (SELECT book_id::int FROM ledger_period WHERE id = period));
    PERFORM pg_advisory_xact_lock(ledger_period_lock_class(), period::int);
    RETURN (SELECT status FROM ledger_period WHERE id = period);
END $$;

-- Find (or open, as its calendar month) the period of each day, and keep it from being closed until we commit. A day
-- without a period that lies before a closed one counts as closed: the answer is that closed period.
CREATE OR REPLACE FUNCTION ledger_enter_periods(in_book bigint, days date[])
RETURNS TABLE (day date, period_id bigint, status text) LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_period (book_id, starts_on, ends_before, status, closed_by)
    SELECT DISTINCT in_book, date_trunc('month', d)::date, (date_trunc('month', d) + interval '1 month')::date,
           'open', ''
      FROM unnest(days) d
     WHERE NOT EXISTS (SELECT FROM ledger_period p WHERE p.book_id = in_book AND p.starts_on <= d AND d < p.ends_before)
       AND NOT EXISTS (SELECT FROM ledger_period p
                        WHERE p.book_id = in_book AND p.starts_on > d AND p.status = 'closed')
     ORDER BY 2
    ON CONFLICT DO NOTHING;
    PERFORM pg_advisory_xact_lock_shared(ledger_period_lock_class(), p.id::int)
       FROM (SELECT DISTINCT p.id FROM unnest(days) d
               JOIN ledger_period p ON p.book_id = in_book AND p.starts_on <= d AND d < p.ends_before
              ORDER BY p.id) p;
    RETURN QUERY
    SELECT d, p.id, p.status::text FROM unnest(days) d
      JOIN ledger_period p ON p.book_id = in_book AND p.starts_on <= d AND d < p.ends_before;
    IF (SELECT count(DISTINCT d) FROM unnest(days) d) > (
        SELECT count(DISTINCT d) FROM unnest(days) d
          JOIN ledger_period p ON p.book_id = in_book AND p.starts_on <= d AND d < p.ends_before) THEN
        RETURN QUERY
        SELECT d, later.id, 'closed' FROM unnest(days) d
         CROSS JOIN LATERAL (SELECT p.id FROM ledger_period p
                              WHERE p.book_id = in_book AND p.starts_on > d AND p.status = 'closed'
                              ORDER BY p.starts_on LIMIT 1) later
         WHERE NOT EXISTS (
            SELECT FROM ledger_period p WHERE p.book_id = in_book AND p.starts_on <= d AND d < p.ends_before);
    END IF;
END $$;

-- A period is born open, as one calendar month, and not before a closed one: what was closed would change. It changes
-- by its history only.
CREATE OR REPLACE FUNCTION ledger_period_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'open' OR NEW.closed_by <> '' OR NEW.changed_at IS NOT NULL
           OR NEW.starts_on <> date_trunc('month', NEW.starts_on)::date
           OR NEW.ends_before <> (NEW.starts_on + interval '1 month')::date THEN
            PERFORM ledger_refuse('ledger_period_born', 'A period is born open and is one calendar month.');
        END IF;
        IF EXISTS (SELECT FROM ledger_period WHERE book_id = NEW.book_id AND starts_on > NEW.starts_on) THEN
            PERFORM pg_advisory_xact_lock_shared(ledger_book_lock_class(), NEW.book_id::int);
            IF EXISTS (SELECT FROM ledger_period
                        WHERE book_id = NEW.book_id AND starts_on > NEW.starts_on AND status = 'closed') THEN
                PERFORM ledger_refuse('ledger_period_in_order', 'No period is opened before a closed one.');
            END IF;
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.book_id, NEW.starts_on, NEW.ends_before) IS DISTINCT FROM (OLD.book_id, OLD.starts_on, OLD.ends_before) THEN
        PERFORM ledger_refuse('ledger_period_fixed', 'A period keeps its days.');
    END IF;
    IF NEW IS DISTINCT FROM OLD AND (
        SELECT (c.from_status, c.to_status, c.recorded_at) IS DISTINCT FROM (OLD.status, NEW.status, NEW.changed_at)
            OR NEW.changed_at IS NOT DISTINCT FROM OLD.changed_at
            OR (CASE WHEN NEW.status <> 'open' THEN c.at END) IS DISTINCT FROM NEW.closed_at
          FROM (SELECT NEW.id) this
          LEFT JOIN LATERAL (SELECT * FROM ledger_period_change WHERE period_id = this.id
                              ORDER BY id DESC LIMIT 1) c ON true) THEN
        PERFORM ledger_refuse('ledger_period_by_history', 'A period changes by a row of its history.');
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION ledger_period_change_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    p ledger_period;
    asked jsonb;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM ledger_refuse('ledger_period_change_isolation', 'A period changes under READ COMMITTED.');
    END IF;
    PERFORM ledger_hold_period(NEW.period_id);
    SELECT * INTO p FROM ledger_period WHERE id = NEW.period_id FOR NO KEY UPDATE;
    IF NEW.from_status IS DISTINCT FROM p.status THEN
        PERFORM ledger_refuse('ledger_period_change_from',
            format('Period %s is %s, not %s.', NEW.period_id, p.status, NEW.from_status));
    END IF;
    -- Under the lock: what was posted before was recorded before.
    NEW.recorded_at := clock_timestamp();
    IF NEW.to_status <> 'open' AND p.ends_before > (
        SELECT (NEW.at AT TIME ZONE b.timezone)::date FROM ledger_book b WHERE b.id = p.book_id) THEN
        PERFORM ledger_refuse('ledger_period_over', 'A period is closed after its last day.');
    END IF;
    IF NEW.to_status = 'closed' AND EXISTS (
        SELECT FROM ledger_period x
         WHERE x.book_id = p.book_id AND x.starts_on < p.starts_on AND x.status <> 'closed') THEN
        PERFORM ledger_refuse('ledger_period_in_order', 'An earlier period is not closed.');
    END IF;
    IF NEW.to_status = 'open' THEN
        IF EXISTS (SELECT FROM ledger_period x
                    WHERE x.book_id = p.book_id AND x.starts_on > p.starts_on AND x.status = 'closed') THEN
            PERFORM ledger_refuse('ledger_period_latest', 'Only the latest closed period is reopened.');
        END IF;
        asked := approval_in_force(NEW.approval_id, 'period.reopen');
        IF (asked ->> 'period' = NEW.period_id::text AND approval_use(NEW.approval_id, 'period:' || NEW.period_id))
           IS NOT TRUE THEN
            PERFORM ledger_refuse('ledger_period_reopen_approved',
                'A period is reopened by an approval of another person, in the transaction that gives it.');
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_period_change_guard BEFORE INSERT ON ledger_period_change
    FOR EACH ROW EXECUTE FUNCTION ledger_period_change_guard();

CREATE FUNCTION ledger_period_change_moves() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE ledger_period
       SET status = NEW.to_status, changed_at = NEW.recorded_at,
           closed_at = CASE WHEN NEW.to_status <> 'open' THEN NEW.at END,
           closed_by = CASE WHEN NEW.to_status = 'open' THEN ''
                            WHEN NEW.actor_label <> '' THEN left(NEW.actor_label, 120)
                            ELSE left(NEW.actor_type || ':' || NEW.actor_id, 120) END
     WHERE id = NEW.period_id;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_period_change_moves AFTER INSERT ON ledger_period_change
    FOR EACH ROW EXECUTE FUNCTION ledger_period_change_moves();

-- Entries: as before, and a soft-closed period takes adjustments that a person posts with a reason. An entry is recorded
-- after its period took its present state and not in the future, so that the history tells what was open to it.
CREATE OR REPLACE FUNCTION ledger_entry_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    bad record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM ledger_refuse('ledger_entry_isolation',
            'Posting needs READ COMMITTED: an older snapshot could miss a close.');
    END IF;
    PERFORM pg_advisory_xact_lock_shared(ledger_period_lock_class(), p.id::int)
       FROM (SELECT DISTINCT period_id AS id FROM n ORDER BY 1) p;
    -- Rules of kind and date, once for entries that share them.
    SELECT d.id, CASE
            WHEN t.code IS NULL THEN 'ledger_entry_event_type'
            WHEN p.id IS NULL OR p.book_id <> d.book_id THEN 'ledger_entry_period'
            WHEN p.status <> 'open' AND NOT (p.status = 'soft_closed' AND t.adjusts AND d.by_person)
                THEN 'ledger_entry_period_open'
            WHEN d.recorded_at < p.changed_at THEN 'ledger_entry_recorded_now'
            ELSE 'ledger_entry_effective_day' END AS rule
      INTO bad
      FROM (SELECT event_type, book_id, period_id, effective_at, effective_on,
                   actor_type = 'user' AND reason_code <> '' AS by_person, min(id) AS id,
                   min(recorded_at) AS recorded_at
              FROM n GROUP BY 1, 2, 3, 4, 5, 6) d
      LEFT JOIN ledger_event_type t ON t.code = d.event_type
      LEFT JOIN ledger_book b ON b.id = d.book_id
      LEFT JOIN LATERAL (SELECT * FROM ledger_period WHERE id = d.period_id OFFSET 0) p ON true
     WHERE (t.code IS NOT NULL AND p.book_id = d.book_id
            AND (p.status = 'open' OR p.status = 'soft_closed' AND t.adjusts AND d.by_person)
            AND (p.changed_at IS NULL OR d.recorded_at >= p.changed_at)
            AND d.effective_on = (d.effective_at AT TIME ZONE b.timezone)::date
            AND d.effective_on >= p.starts_on AND d.effective_on < p.ends_before) IS NOT TRUE
     LIMIT 1;
    IF NOT FOUND THEN -- an id that the sequence has yet to give would be in the way then; seals and roll-ups go up to it
        SELECT n.id, 'ledger_entry_id_reserved' AS rule INTO bad FROM n
         WHERE n.id < 1 OR n.id > (SELECT last_value FROM ledger_entry_id_seq) LIMIT 1;
    END IF;
    IF NOT FOUND THEN
        SELECT n.id, 'ledger_entry_recorded_now' AS rule INTO bad FROM n
         WHERE (n.created_xid = pg_current_xact_id() AND n.recorded_at >= now() - interval '1 second'
                AND n.recorded_at <= clock_timestamp()) IS NOT TRUE
         LIMIT 1;
    END IF;
    IF NOT FOUND THEN
        SELECT n.id, 'ledger_entry_reverses' AS rule INTO bad FROM n
          LEFT JOIN LATERAL (SELECT * FROM ledger_entry WHERE id = n.reverses_id OFFSET 0) r ON true
         WHERE n.reverses_id IS NOT NULL
           AND (r.reverses_id IS NULL AND r.line_count = n.line_count AND r.book_id = n.book_id) IS NOT TRUE
         LIMIT 1;
    END IF;
    IF FOUND THEN
        PERFORM ledger_refuse(bad.rule, format('Entry %s breaks the rule %s.', bad.id, bad.rule));
    END IF;
    INSERT INTO ledger_entry_awaiting_lines (first_id, last_id) SELECT min(id), max(id) FROM n HAVING count(*) > 0;
    RETURN NULL;
END $$;

-- Seals ---------------------------------------------------------------------------------------------------------------

-- No entry is sealed twice; the index finds the seal of an entry.
ALTER TABLE ledger_seal ADD CONSTRAINT ledger_seal_once EXCLUDE USING gist (entries WITH &&);

CREATE FUNCTION ledger_seal_lock_class() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7262004';

-- The canonical form of entries, ledger_entry_forms, stands in migration 0010, behind all that an entry brings along.

-- The canonical form of the history of periods, version 1.
CREATE FUNCTION ledger_change_forms(ids bigint[]) RETURNS TABLE (id bigint, form text) LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.id, json_build_array('period change', 1, b.key, p.starts_on, p.ends_before, c.from_status, c.to_status,
        (extract(epoch FROM c.at) * 1000000)::bigint, (extract(epoch FROM c.recorded_at) * 1000000)::bigint,
        c.actor_type, c.actor_id, c.actor_label, c.reason, c.note, c.approval_id,
        y.content_hash, y.requested_by_id, y.decided_by_id)::text
      FROM unnest(ids) AS wanted (id)
      JOIN ledger_period_change c ON c.id = wanted.id
      LEFT JOIN ledger_period p ON p.id = c.period_id
      LEFT JOIN ledger_book b ON b.id = p.book_id
      LEFT JOIN billing_ops_approval y ON y.id = c.approval_id
$$;

-- The Merkle root of hashes, as RFC 6962 builds it; of none, the hash of nothing.
CREATE FUNCTION ledger_merkle_root(leaves bytea[]) RETURNS bytea LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    level bytea[] := leaves;
BEGIN
    IF coalesce(cardinality(level), 0) = 0 THEN
        RETURN sha256('');
    END IF;
    WHILE cardinality(level) > 1 LOOP
        SELECT array_agg(CASE k WHEN 2 THEN sha256('\x01'::bytea || both_nodes) ELSE both_nodes END ORDER BY pair)
          INTO level
          FROM (SELECT (place + 1) / 2 AS pair, count(*) AS k, string_agg(node, '' ORDER BY place) AS both_nodes
                  FROM unnest(level) WITH ORDINALITY AS u (node, place) GROUP BY 1) pairs;
    END LOOP;
    RETURN level[1];
END $$;

-- A seal's own hash: of all that it says, the hash before it included.
CREATE FUNCTION ledger_seal_hash(s ledger_seal) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT encode(sha256(convert_to(json_build_array('seal', s.form_version, s.seq, s.previous_hash,
        s.system_identifier::text, s.from_xid::text, s.to_xid::text, s.catches_up_to, s.entries::text, s.changes::text,
        s.entry_count, s.line_count, s.draw_count, s.change_count, s.merkle_root,
        (extract(epoch FROM s.sealed_at) * 1000000)::bigint)::text, 'UTF8')), 'hex')
$$;

CREATE FUNCTION ledger_seal_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    head ledger_seal;
BEGIN
    SELECT * INTO head FROM ledger_seal ORDER BY seq DESC LIMIT 1;
    IF NEW.seq <> coalesce(head.seq, 0) + 1 OR NEW.previous_hash <> coalesce(head.hash, repeat('0', 64)) THEN
        PERFORM ledger_refuse('ledger_seal_chained', 'A seal continues the last one.');
    END IF;
    IF NEW.hash <> ledger_seal_hash(NEW) THEN
        PERFORM ledger_refuse('ledger_seal_hashed', 'A seal has the hash of what it says.');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_seal_guard BEFORE INSERT ON ledger_seal FOR EACH ROW EXECUTE FUNCTION ledger_seal_guard();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_seal
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Seal what is committed and not sealed yet, at most so many entries; the seal's number, or null: there is nothing to
-- seal, or somebody else is sealing.
--
-- 1. In the cluster that wrote the last seal, every entry below its to_xid is sealed. What has a higher transaction id,
--    and one below that of every transaction still open, is all there and final: that is sealed, in the order of the
--    transactions. A transaction that stays open is left out and found when it is over.
-- 2. In another cluster (a restore, an upgrade), and at the first seal, transaction ids say nothing about what is there:
--    all that is visible is caught up with by id, up to the last one (catches_up_to). What was invisible then belongs to
--    transactions from from_xid on, and step 1 finds it.
-- 3. What belongs to a seal is the set of ids it names: it stays known wherever the books are restored.
CREATE FUNCTION ledger_seal_next(at timestamptz, most int) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    cluster CONSTANT bigint := (SELECT system_identifier FROM pg_control_system());
    head ledger_seal;
    made ledger_seal;
    sealed int8multirange;
    ids bigint[];
    change_ids bigint[];
    last_xid xid8;
    horizon xid8;
    oldest xid8;
    elsewhere boolean;
    leaf_hashes bytea[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM ledger_refuse('ledger_seal_isolation', 'Sealing needs READ COMMITTED.');
    END IF;
    IF (most >= 1) IS NOT TRUE THEN
        PERFORM ledger_refuse('ledger_seal_most', 'A seal takes at least one entry.');
    END IF;
    IF NOT pg_try_advisory_xact_lock(ledger_seal_lock_class(), 0) THEN
        RETURN NULL;
    END IF;
    -- Before the entries are read (migration 0006): who is over by now is seen by the statements that follow.
    oldest := ledger_complete_before();
    SELECT * INTO head FROM ledger_seal ORDER BY seq DESC LIMIT 1;
    elsewhere := head.seq IS NULL OR head.system_identifier <> cluster;
    made.from_xid := head.to_xid;
    IF elsewhere THEN
        SELECT coalesce(range_agg(entries), '{}') INTO sealed FROM ledger_seal;
        SELECT oldest, max(id) INTO made.from_xid, made.catches_up_to
          FROM ledger_entry WHERE NOT id <@ sealed;
    ELSIF upper(head.entries) <= head.catches_up_to THEN
        SELECT range_agg(entries) INTO sealed FROM ledger_seal;
        made.catches_up_to := head.catches_up_to;
    END IF;
    made.to_xid := made.from_xid;
    IF made.catches_up_to IS NOT NULL THEN
        SELECT array_agg(id) INTO ids FROM (
            SELECT id FROM ledger_entry
             WHERE id >= CASE WHEN elsewhere THEN 0 ELSE upper(head.entries) END AND id <= made.catches_up_to
               AND NOT id <@ sealed
             ORDER BY id LIMIT most) found;
    END IF;
    IF ids IS NULL AND NOT elsewhere THEN
        made.catches_up_to := NULL;
        SELECT array_agg(id ORDER BY id), max(created_xid), CASE WHEN count(*) > 0 THEN oldest END
          INTO ids, last_xid, horizon
          FROM (SELECT e.id, e.created_xid FROM ledger_entry e
                 WHERE e.created_xid >= made.from_xid AND e.created_xid < oldest
                   AND NOT EXISTS (SELECT FROM ledger_seal s WHERE s.entries @> e.id)
                 ORDER BY e.created_xid, e.id LIMIT most) found;
        made.to_xid := CASE WHEN cardinality(ids) >= most THEN last_xid ELSE coalesce(horizon, made.from_xid) END;
    END IF;
    SELECT array_agg(c.id ORDER BY c.id) INTO change_ids FROM ledger_period_change c
     WHERE NOT EXISTS (SELECT FROM ledger_seal s WHERE s.changes @> c.id AND NOT isempty(s.changes));
    IF ids IS NULL AND change_ids IS NULL AND (head.seq IS NULL OR NOT elsewhere) THEN
        RETURN NULL;
    END IF;
    ids := coalesce(ids, '{}');
    change_ids := coalesce(change_ids, '{}');
    made.seq := coalesce(head.seq, 0) + 1;
    made.form_version := 1;
    made.system_identifier := cluster;
    made.previous_hash := coalesce(head.hash, repeat('0', 64));
    SELECT coalesce(range_agg(int8range(i, i, '[]')), '{}') INTO made.entries FROM unnest(ids) i;
    SELECT coalesce(range_agg(int8range(i, i, '[]')), '{}') INTO made.changes FROM unnest(change_ids) i;
    SELECT array_agg(sha256('\x00'::bytea || convert_to(form, 'UTF8')) ORDER BY part, id) INTO leaf_hashes FROM (
        SELECT 1 AS part, id, form FROM ledger_entry_forms(ids)
        UNION ALL
        SELECT 2, id, form FROM ledger_change_forms(change_ids)) forms;
    made.entry_count := cardinality(ids);
    made.change_count := cardinality(change_ids);
    SELECT coalesce(sum(k), 0) INTO made.line_count FROM unnest(ids) i
     CROSS JOIN LATERAL (SELECT count(*) AS k FROM ledger_line WHERE entry_id = i OFFSET 0) n;
    SELECT coalesce(sum(k), 0) INTO made.draw_count FROM unnest(ids) i
     CROSS JOIN LATERAL (SELECT count(*) AS k FROM ledger_credit_draw WHERE entry_id = i OFFSET 0) n;
    made.merkle_root := encode(ledger_merkle_root(leaf_hashes), 'hex');
    SELECT coalesce(string_agg(leaf, '' ORDER BY place), '') INTO made.leaves
      FROM unnest(leaf_hashes) WITH ORDINALITY AS u (leaf, place);
    made.sealed_at := at;
    made.recorded_at := clock_timestamp();
    made.hash := ledger_seal_hash(made);
    INSERT INTO ledger_seal SELECT made.*;
    RETURN made.seq;
END $$;

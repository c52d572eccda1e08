-- what:       roll-ups of the lines by account and day and by code and day, and the entries that are not in them yet
-- called by:  migration 0006_rollups; ledger/rolling_up.py calls ledger_roll_up, ledger/sql/*.sql read the rest
-- parameters: none
--
-- Exact at any moment: a figure is the roll-ups plus the entries that are not in them, read in one snapshot. An entry is
-- in them if its transaction is before the horizon, and the horizon is never after a transaction that may still commit.
-- Neither a sequence nor a clock can say that: who took a number or looked at the clock first may commit last. Posting
-- writes nothing for them.

INSERT INTO ledger_rollup_state (id, system_identifier, horizon, adopted, adopted_until)
SELECT 1, system_identifier, '0', '{}', 0 FROM pg_control_system();

-- Whether the roll-ups belong to this cluster: transaction ids mean nothing in another.
CREATE FUNCTION ledger_rollups_in_use() RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ledger_rollup_state s
                    WHERE s.system_identifier = (SELECT system_identifier FROM pg_control_system()))
$$;

-- The entries that are not in the roll-ups, as the calling statement's snapshot sees them. In plpgsql, so that the
-- planner sees the horizon as a value and takes the index. In another cluster: all of them.
CREATE FUNCTION ledger_unrolled_entries()
RETURNS TABLE (id bigint, book_id bigint, effective_at timestamptz, effective_on date, recorded_at timestamptz)
LANGUAGE plpgsql STABLE ROWS 2000
SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    state ledger_rollup_state;
    theirs int8multirange;
BEGIN
    SELECT * INTO state FROM ledger_rollup_state
     WHERE system_identifier = (SELECT c.system_identifier FROM pg_control_system() c);
    IF NOT FOUND THEN
        RETURN QUERY SELECT e.id, e.book_id, e.effective_at, e.effective_on, e.recorded_at FROM ledger_entry e;
    ELSIF state.adopted = '{}' THEN
        RETURN QUERY EXECUTE format(
            'SELECT id, book_id, effective_at, effective_on, recorded_at FROM ledger_entry WHERE created_xid >= %L',
            state.horizon);
    ELSE
        theirs := state.adopted::int8multirange;
        -- Adopted entries bear transactions of another cluster, which here are yet to come: no entry of this cluster
        -- that anyone can see is after the snapshot, but for one's own.
        RETURN QUERY EXECUTE format(
            'SELECT id, book_id, effective_at, effective_on, recorded_at FROM ledger_entry WHERE created_xid >= %1$L'
            ' AND (created_xid < pg_snapshot_xmax(pg_current_snapshot()) OR created_xid = pg_current_xact_id_if_assigned())'
            ' AND NOT id <@ $1 UNION ALL'
            ' SELECT id, book_id, effective_at, effective_on, recorded_at FROM ledger_entry'
            ' WHERE id > %2$s AND id < upper($1) AND id <@ $1', state.horizon, state.adopted_until) USING theirs;
    END IF;
END $$;

-- Begin again, from no roll-up at all: after a restore into another cluster, or by hand. It waits for postings in flight
-- and holds others up while it looks which entries bear transactions that here are yet to come.
CREATE FUNCTION ledger_restart_rollups() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    theirs int8multirange;
BEGIN
    PERFORM FROM ledger_rollup_state FOR UPDATE;
    LOCK TABLE ledger_entry IN SHARE MODE;
    SELECT coalesce(range_agg(int8range(id, id, '[]')), '{}') INTO theirs
      FROM ledger_entry WHERE created_xid >= pg_snapshot_xmax(pg_current_snapshot());
    DELETE FROM ledger_account_day; -- a TRUNCATE would empty them for readers whose snapshot is older, too
    DELETE FROM ledger_code_day;
    UPDATE ledger_rollup_state
       SET system_identifier = (SELECT system_identifier FROM pg_control_system()), horizon = '0',
           adopted = theirs::text, adopted_until = 0;
END $$;

-- The transaction before which all that wrote here are over: pg_snapshot_xmin, but for transactions that are seen to run
-- in another database of the cluster, whose long ones would hold us back for nothing. Who has ended meanwhile, or was
-- only prepared, counts as ours. One's own transaction is not over.
CREATE FUNCTION ledger_complete_before() RETURNS xid8 LANGUAGE sql VOLATILE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT least(pg_current_xact_id(), coalesce(min(running.xid), pg_snapshot_xmax(pg_current_snapshot())))
      FROM pg_snapshot_xip(pg_current_snapshot()) running (xid)
     WHERE NOT EXISTS (
        SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'transactionid' AND l.transactionid = running.xid::xid AND l.granted
           AND l.mode = 'ExclusiveLock' AND a.datname <> current_database())
$$;

-- Add what is complete to the roll-ups: up to at_most entries and always whole transactions. Who finds another at it
-- does nothing. Answers how many entries it took, and whether more wait.
CREATE FUNCTION ledger_roll_up(at_most int) RETURNS TABLE (entries bigint, more boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    state ledger_rollup_state;
    theirs int8multirange;
    complete xid8;
    first xid8;
    reach xid8;
    chosen bigint[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM ledger_refuse('ledger_rollup_isolation',
            'Rolling up needs READ COMMITTED: an older snapshot does not see all that is complete.');
    END IF;
    SELECT * INTO state FROM ledger_rollup_state FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 0::bigint, false;
        RETURN;
    END IF;
    IF state.system_identifier <> (SELECT system_identifier FROM pg_control_system()) THEN
        PERFORM ledger_restart_rollups();
        RETURN QUERY SELECT 0::bigint, true;
        RETURN;
    END IF;
    complete := ledger_complete_before();
    theirs := state.adopted::int8multirange;
    SELECT array_agg(a.id), max(a.id) INTO chosen, state.adopted_until
      FROM (SELECT e.id FROM ledger_entry e
             WHERE e.id > state.adopted_until AND e.id < upper(theirs) AND e.id <@ theirs
             ORDER BY e.id LIMIT at_most) a;
    more := true;
    IF chosen IS NULL THEN
        SELECT r.adopted_until INTO state.adopted_until FROM ledger_rollup_state r;
        SELECT e.created_xid INTO first FROM ledger_entry e
         WHERE e.created_xid >= state.horizon AND e.created_xid < complete ORDER BY e.created_xid LIMIT 1;
        SELECT e.created_xid INTO reach FROM ledger_entry e
         WHERE e.created_xid >= state.horizon AND e.created_xid < complete
         ORDER BY e.created_xid OFFSET at_most LIMIT 1;
        more := reach IS NOT NULL;
        IF reach = first THEN -- one transaction is larger than that: it is taken whole
            reach := (first::text::numeric + 1)::text::xid8;
        END IF;
        reach := coalesce(reach, complete);
        SELECT coalesce(array_agg(e.id), '{}') INTO chosen FROM ledger_entry e
         WHERE e.created_xid >= state.horizon AND e.created_xid < reach AND NOT e.id <@ theirs;
        state.horizon := greatest(state.horizon, reach);
    END IF;
    WITH days AS MATERIALIZED (
        SELECT l.account_id, l.effective_on, (e.recorded_at AT TIME ZONE b.timezone)::date AS recorded_on,
               coalesce(sum(l.amount) FILTER (WHERE l.side = 1), 0) AS debits,
               coalesce(sum(l.amount) FILTER (WHERE l.side = -1), 0) AS credits, count(*) AS lines
          FROM unnest(chosen) c (id)
          JOIN ledger_entry e ON e.id = c.id
          JOIN ledger_book b ON b.id = e.book_id
          JOIN ledger_line l ON l.entry_id = e.id
         GROUP BY 1, 2, 3),
    by_account AS (
        INSERT INTO ledger_account_day AS d (account_id, effective_on, recorded_on, debits, credits, lines)
        SELECT * FROM days
            ON CONFLICT (account_id, effective_on, recorded_on) DO UPDATE
           SET debits = d.debits + EXCLUDED.debits, credits = d.credits + EXCLUDED.credits,
               lines = d.lines + EXCLUDED.lines)
    INSERT INTO ledger_code_day AS d (unit, code, effective_on, recorded_on, debits, credits, lines)
    SELECT a.unit, a.code, days.effective_on, days.recorded_on, sum(days.debits), sum(days.credits), sum(days.lines)
      FROM days JOIN ledger_account a ON a.id = days.account_id
     GROUP BY 1, 2, 3, 4
        ON CONFLICT (unit, code, effective_on, recorded_on) DO UPDATE
       SET debits = d.debits + EXCLUDED.debits, credits = d.credits + EXCLUDED.credits, lines = d.lines + EXCLUDED.lines;
    UPDATE ledger_rollup_state
       SET horizon = state.horizon, adopted_until = state.adopted_until, rolled_at = clock_timestamp();
    RETURN QUERY SELECT cardinality(chosen)::bigint, more;
END $$;

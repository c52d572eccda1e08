-- Events, partitioned by the UTC month in which they happened.
CREATE TABLE metering_event (
    key uuid NOT NULL,
    batch_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    subject text NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    event_id text NOT NULL,
    data jsonb NOT NULL,
    extensions jsonb
) PARTITION BY RANGE (occurred_at);

-- A customer's period; and the events of a batch that is to be folded.
CREATE INDEX metering_event_subject ON metering_event (subject, occurred_at);
CREATE INDEX metering_event_batch ON metering_event (batch_id);
-- Somebody's search by time alone. Events arrive nearly in order, so a summary of each range of pages is enough, and free.
CREATE INDEX metering_event_time ON metering_event USING brin (occurred_at)
    WITH (pages_per_range = 32, autosummarize = on);

-- A safety net: months are made before their first event is written.
CREATE TABLE metering_event_default PARTITION OF metering_event DEFAULT;

-- Buckets are updated in place: room in the page keeps their indexes untouched (HOT).
ALTER TABLE metering_bucket SET (fillfactor = 80);
ALTER TABLE metering_stream SET (fillfactor = 80);

-- The application may not run DDL, so it asks for a month's partition through this function. True if it was made.
-- A month that already has rows in the default partition stays there: slower, never wrong.
CREATE FUNCTION metering_ensure_month(instant timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    month_start timestamptz := date_trunc('month', instant, 'UTC');
    month_end timestamptz := date_trunc('month', month_start + interval '32 days', 'UTC');
    partition text := 'metering_event_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF instant IS NULL OR instant < '2000-01-01T00:00:00Z' OR instant >= '2100-01-01T00:00:00Z' THEN
        RETURN false;
    END IF;
    IF to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('metering.ensure_month'));
    -- Read from the table: to_regclass would answer from what this connection knew before it waited.
    IF EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = partition AND relnamespace = 'public'::regnamespace) THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM public.metering_event_default
               WHERE occurred_at >= month_start AND occurred_at < month_end) THEN
        RETURN false;
    END IF;
    -- Made apart and attached: CREATE … PARTITION OF would stop every reader and writer of the parent.
    EXECUTE format('CREATE TABLE public.%I (LIKE public.metering_event INCLUDING ALL)', partition);
    EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.%I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION public.metering_refuse_change()', partition);
    EXECUTE format('ALTER TABLE public.metering_event ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, month_start, month_end);
    RETURN true;
END $$;

-- What:       the connection's own table into which a batch is copied before it is stored; emptied at commit
-- Called by:  ingesting.accept, ingesting.backfill
-- Parameters: none
CREATE TEMPORARY TABLE IF NOT EXISTS metering_staging (
    key uuid,
    content uuid,
    occurred_at timestamptz,
    subject text,
    type text,
    source text,
    event_id text,
    data jsonb,
    extensions jsonb
) ON COMMIT DELETE ROWS

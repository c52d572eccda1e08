-- What:       how much is accepted and in no bucket yet: batches, events, and when the oldest was recorded
-- Called by:  usage.lag
-- Parameters: none
SELECT count(*), coalesce(sum(events), 0)::bigint, min(recorded_at) FROM metering_batch WHERE fold_id IS NULL

-- What:       notes the sources of batches
-- Called by:  aggregating.advance
-- Parameters: batches (ids), first and last (instants that enclose their events)
INSERT INTO metering_source (source)
SELECT DISTINCT source
FROM metering_event
WHERE batch_id = ANY (%(batches)s) AND occurred_at >= %(first)s AND occurred_at <= %(last)s
ORDER BY 1
ON CONFLICT (source) DO NOTHING

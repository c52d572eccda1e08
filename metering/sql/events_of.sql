-- What:       a page of the raw events that a meter matched for a subject in a period, with what each counted
-- Called by:  usage.events_of
-- Parameters: meter, subject, start, end, after_time, after_source, after_id (the last event of the page before, or
--             nulls), limit
SELECT source, event_id, occurred_at, type, batch_id, data, value, missing
FROM metering_measured
WHERE meter_id = %(meter)s AND subject = %(subject)s AND matched
  AND occurred_at >= greatest(%(start)s, %(after_time)s) AND occurred_at < %(end)s
  AND (%(after_time)s::timestamptz IS NULL
       OR (occurred_at, source COLLATE "C", event_id COLLATE "C")
          > (%(after_time)s, %(after_source)s COLLATE "C", %(after_id)s COLLATE "C"))
ORDER BY occurred_at, source COLLATE "C", event_id COLLATE "C"
LIMIT %(limit)s

-- What:       a page of raw events, newest first, by any of subject, type and time
-- Called by:  events.find
-- Parameters: subject, type (or nulls), start, end, before_time, before_key (the last event of the page before, or
--             nulls), limit
SELECT key, source, event_id, occurred_at, subject, type, batch_id, data::text, extensions::text
FROM metering_event
WHERE (%(subject)s::text IS NULL OR subject = %(subject)s)
  AND (%(type)s::text IS NULL OR type = %(type)s)
  AND occurred_at >= %(start)s AND occurred_at < %(end)s
  AND (%(before_time)s::timestamptz IS NULL
       OR occurred_at <= %(before_time)s AND (occurred_at, key) < (%(before_time)s, %(before_key)s::uuid))
ORDER BY occurred_at DESC, key DESC
LIMIT %(limit)s

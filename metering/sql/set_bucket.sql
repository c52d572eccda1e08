-- What:       writes what a bucket must hold
-- Called by:  checking.rebuild
-- Parameters: meter (id), subject, hour_start, quantity, events, missing, not_numeric
INSERT INTO metering_bucket (meter_id, subject, hour_start, quantity, events, missing, not_numeric)
VALUES (%(meter)s, %(subject)s, %(hour_start)s, %(quantity)s, %(events)s, %(missing)s, %(not_numeric)s)
ON CONFLICT (meter_id, subject, hour_start) DO UPDATE SET
    quantity = excluded.quantity, events = excluded.events,
    missing = excluded.missing, not_numeric = excluded.not_numeric

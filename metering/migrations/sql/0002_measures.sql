-- The number that a property holds, or null: a JSON number, or a string of plain ASCII digits.
-- The same as rules.aggregation.number, which a property test shows.
CREATE FUNCTION metering_number(property jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE jsonb_typeof(property)
        WHEN 'number' THEN property::numeric
        WHEN 'string' THEN CASE
            WHEN property #>> '{}' ~ '^-?[0-9]{1,20}(\.[0-9]{1,12})?$' THEN (property #>> '{}')::numeric
        END
    END
$$;

-- Whether an event's data pass every filter of a meter: the same as rules.aggregation.matches.
CREATE FUNCTION metering_matches(data jsonb, filters jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    filter jsonb;
    property jsonb;
    wanted jsonb;
    passed boolean;
BEGIN
    FOR i IN 0 .. jsonb_array_length(filters) - 1 LOOP
        filter := filters -> i;
        property := data #> string_to_array(filter ->> 'path', '.');
        wanted := filter -> 'value';
        CASE filter ->> 'op'
            WHEN 'eq' THEN passed := property = wanted;
            WHEN 'ne' THEN passed := property IS DISTINCT FROM wanted;
            WHEN 'in' THEN
                passed := false;
                FOR j IN 0 .. jsonb_array_length(wanted) - 1 LOOP
                    passed := passed OR coalesce(property = wanted -> j, false);
                END LOOP;
            WHEN 'gt' THEN passed := public.metering_number(property) > public.metering_number(wanted);
            WHEN 'gte' THEN passed := public.metering_number(property) >= public.metering_number(wanted);
            WHEN 'lt' THEN passed := public.metering_number(property) < public.metering_number(wanted);
            WHEN 'lte' THEN passed := public.metering_number(property) <= public.metering_number(wanted);
            WHEN 'exists' THEN
                passed := (property IS NOT NULL AND jsonb_typeof(property) <> 'null') = wanted::boolean;
        END CASE;
        IF passed IS NOT TRUE THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;

-- What every meter makes of every event of its type. The planner sees through it: each reader adds its own conditions.
-- ``value`` is what is counted if the event ``matched`` the filters; null: the property is missing or is no number.
CREATE VIEW metering_measured AS
SELECT m.id AS meter_id, e.key, e.batch_id, e.occurred_at, e.subject, e.type, e.source, e.event_id, e.data,
       m.filters = '[]' OR public.metering_matches(e.data, m.filters) AS matched,
       CASE m.aggregation
           WHEN 'count' THEN 1::numeric
           ELSE public.metering_number(e.data #> string_to_array(m.value_path, '.'))
       END AS value,
       m.aggregation <> 'count'
           AND coalesce(jsonb_typeof(e.data #> string_to_array(m.value_path, '.')), 'null') = 'null' AS missing
FROM metering_event e
JOIN metering_meter m ON m.event_type = e.type;

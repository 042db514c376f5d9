-- Incidents that explain themselves: what an alarm says beside its numbers. `incident_id` is the alarm that speaks for
-- the cause, empty in rows of before; `context` is JSON (onset_why, only_in, beside, coincides, members).

ALTER TABLE alarms
    ADD COLUMN IF NOT EXISTS incident_id String DEFAULT '',
    ADD COLUMN IF NOT EXISTS onset Nullable(DateTime64(6, 'UTC')) DEFAULT NULL,
    ADD COLUMN IF NOT EXISTS moved LowCardinality(String) DEFAULT '',
    ADD COLUMN IF NOT EXISTS story String DEFAULT '',
    ADD COLUMN IF NOT EXISTS context String DEFAULT '';

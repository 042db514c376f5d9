-- What is said of several columns at once, one row a judged window of all traffic. The arrays hold the pairs of columns
-- that are furthest from usual, furthest first; a name with ~ before it stands for how far the column is from its median.

CREATE TABLE IF NOT EXISTS window_relations (
    model LowCardinality(String),
    version LowCardinality(String),
    source LowCardinality(String),
    segment LowCardinality(String),
    layout_id String,
    horizon_us Int64,
    end DateTime64(6, 'UTC'),
    verdict Enum8('stable' = 0, 'warning' = 1, 'drift' = 2, 'not_enough_data' = 3, 'error' = 4),
    first Array(LowCardinality(String)),
    second Array(LowCardinality(String)),
    correlation Array(Float32), usual Array(Float32), evidence Array(Float32),
    mmd Float32, mmd_chance Float32, mmd_limit Float32,
    reconstruction Float32, reconstruction_usual Float32, reconstruction_limit Float32,
    revision UInt32,
    ver UInt64
) ENGINE = ReplacingMergeTree(ver) PARTITION BY toYYYYMM(end)
ORDER BY (model, version, source, segment, horizon_us, end, layout_id)
SETTINGS non_replicated_deduplication_window = 1000;

-- Results of the stream. Every table is a ReplacingMergeTree on its natural key, so that a write repeated
-- after a crash replaces itself; readers use FINAL. Times are UTC; horizons are microseconds.

CREATE TABLE IF NOT EXISTS layouts (
    layout_id String,
    column_index UInt16,
    name LowCardinality(String),
    role LowCardinality(String),
    kind LowCardinality(String),
    first_slot UInt32,
    slots UInt32,
    edges Array(Float64),
    categories Array(String)
) ENGINE = ReplacingMergeTree ORDER BY (layout_id, column_index)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS windows (
    model LowCardinality(String),
    version LowCardinality(String),
    source LowCardinality(String),
    segment LowCardinality(String),
    baseline_id String,
    layout_id String,
    horizon_us Int64,
    start DateTime64(6, 'UTC'),
    end DateTime64(6, 'UTC'),
    rows UInt64,
    weight Float64,
    verdict Enum8('stable' = 0, 'warning' = 1, 'drift' = 2, 'not_enough_data' = 3, 'error' = 4),
    counts Array(UInt32),
    revision UInt32,
    ver UInt64
) ENGINE = ReplacingMergeTree(ver) PARTITION BY toYYYYMM(end)
ORDER BY (model, version, source, segment, horizon_us, end, layout_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS window_columns (
    model LowCardinality(String),
    version LowCardinality(String),
    source LowCardinality(String),
    segment LowCardinality(String),
    layout_id String,
    horizon_us Int64,
    end DateTime64(6, 'UTC'),
    column LowCardinality(String),
    role LowCardinality(String),
    verdict Enum8('stable' = 0, 'warning' = 1, 'drift' = 2, 'not_enough_data' = 3, 'error' = 4),
    present Float32, missing Float32, invalid Float32,
    mean Float64, std Float64, minimum Float64, maximum Float64,
    p01 Float64, p05 Float64, p25 Float64, p50 Float64, p75 Float64, p95 Float64, p99 Float64,
    distinct Float32,
    missing_share Float32, out_of_range_share Float32, unseen_share Float32,
    psi Float32, psi_chance Float32,
    js Float32, js_chance Float32,
    ks Float32, ks_chance Float32,
    wasserstein Float32, wasserstein_chance Float32,
    chi2 Float32, chi2_p Float32,
    evidence Float32, effect_limit Float32,
    skew_js Float32,
    revision UInt32,
    ver UInt64
) ENGINE = ReplacingMergeTree(ver) PARTITION BY toYYYYMM(end)
ORDER BY (model, version, source, segment, horizon_us, column, role, end, layout_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS late_events (
    model LowCardinality(String),
    version LowCardinality(String),
    source LowCardinality(String),
    pane_start DateTime64(6, 'UTC'),
    topic LowCardinality(String),
    partition Int32,
    first_offset Int64,
    rows UInt64,
    ver UInt64
) ENGINE = ReplacingMergeTree(ver) ORDER BY (model, version, source, pane_start, topic, partition, first_offset)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS alarms (
    alarm_id String,
    model LowCardinality(String),
    version LowCardinality(String),
    segment LowCardinality(String),
    kind LowCardinality(String),
    state Enum8('open' = 0, 'updated' = 1, 'resolved' = 2),
    severity LowCardinality(String),
    revision UInt32,
    opened DateTime64(6, 'UTC'),
    updated DateTime64(6, 'UTC'),
    resolved Nullable(DateTime64(6, 'UTC')),
    emitted DateTime64(6, 'UTC'),
    summary String,
    window_start DateTime64(6, 'UTC'),
    window_end DateTime64(6, 'UTC'),
    horizon_us Int64,
    rows UInt64,
    features Array(String),
    evidence String,
    attribution LowCardinality(String),
    attribution_why String
) ENGINE = ReplacingMergeTree ORDER BY (model, alarm_id, revision)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS rollbacks (
    rollback_id String,
    model LowCardinality(String),
    from_version LowCardinality(String),
    to_version LowCardinality(String),
    state LowCardinality(String),
    mode LowCardinality(String),
    seq UInt32,
    ts DateTime64(6, 'UTC'),
    emitted DateTime64(6, 'UTC'),
    alarm_id String,
    reason String,
    actor String,
    evidence String
) ENGINE = ReplacingMergeTree ORDER BY (model, rollback_id, seq)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS registry_events (
    event_id String,
    model LowCardinality(String),
    version LowCardinality(String),
    action LowCardinality(String),
    stage LowCardinality(String),
    ts DateTime64(6, 'UTC'),
    parent String,
    replaces String,
    lineage String,
    actor String,
    reason String,
    rollback_id String
) ENGINE = ReplacingMergeTree ORDER BY (model, ts, event_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS dead_letters (
    topic LowCardinality(String),
    partition Int32,
    offset Int64,
    reason LowCardinality(String),
    detail String,
    events UInt32,
    bytes UInt32,
    sha256 String,
    seen DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree ORDER BY (topic, partition, offset, reason)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS notifications (
    alarm_id String,
    receiver LowCardinality(String),
    revision UInt32,
    outcome LowCardinality(String),
    detail String,
    sent DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree ORDER BY (alarm_id, receiver, revision)
SETTINGS non_replicated_deduplication_window = 1000;

-- Kept so that a laptop's second `seawall up`, whose broker forgets everything, starts with its monitors and baselines.
CREATE TABLE IF NOT EXISTS control (
    topic LowCardinality(String),
    key String,
    payload String,
    published DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(published) ORDER BY (topic, key)
SETTINGS non_replicated_deduplication_window = 1000;

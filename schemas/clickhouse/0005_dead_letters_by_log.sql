-- An offset names a record for as long as its topic lives: letters of a topic that was deleted and made again are others
-- at the same place. `log_epoch` is SEAWALL_LOG_EPOCH and `topic_id` the broker's id; rows of before do not know it.

ALTER TABLE dead_letters
    ADD COLUMN IF NOT EXISTS log_epoch UInt32,
    ADD COLUMN IF NOT EXISTS topic_id String,
    MODIFY ORDER BY (topic, partition, offset, reason, log_epoch, topic_id);

-- Every number beside what chance alone exceeds in 5 % of windows: shares, the pairs of columns furthest from usual, and
-- the error of reconstruction. Rows of before do not know it.

ALTER TABLE window_columns
    ADD COLUMN IF NOT EXISTS missing_chance Float32 DEFAULT nan,
    ADD COLUMN IF NOT EXISTS out_of_range_chance Float32 DEFAULT nan,
    ADD COLUMN IF NOT EXISTS unseen_chance Float32 DEFAULT nan;

ALTER TABLE window_relations
    ADD COLUMN IF NOT EXISTS correlation_chance Array(Float32) DEFAULT [],
    ADD COLUMN IF NOT EXISTS reconstruction_chance Float32 DEFAULT nan;

-- Remembers bodies that the sweeper has removed, so that an upload that was slower than the sweeper expects is refused
-- when it is posted at last, instead of being acked without its beginning.

ALTER TABLE body ADD COLUMN swept_at timestamptz;
COMMENT ON COLUMN body.swept_at IS 'Not null: no message refers to it, and none may any more; its chunks were removed then.';
-- No index: rows are found by their key, and old ones are cleared away by a rare scan.

-- Remembers bodies whose message is delivered until their chunks are removed: a worker may die between the two, and then
-- any other one removes them.

ALTER TABLE body ADD COLUMN freed_at timestamptz;
COMMENT ON COLUMN body.freed_at IS 'Not null: no message refers to it any more, and none may; the row goes when its chunks are removed.';
-- Workers look for what others have left, every few seconds; nearly always there is nothing.
CREATE INDEX body_freed ON body (freed_at) WHERE freed_at IS NOT NULL;

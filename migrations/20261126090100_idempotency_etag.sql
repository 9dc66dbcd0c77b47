-- An answer that is given again has the version that it had.

ALTER TABLE idempotency ADD COLUMN etag text;
COMMENT ON COLUMN idempotency.etag IS 'The header ETag of the answer; null where it had none.';

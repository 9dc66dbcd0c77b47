-- What a suspended member is told when it logs in.

-- A transaction that is long under way must not make everybody else wait behind us: then it fails, and is tried again.
SET LOCAL lock_timeout = '10s';
ALTER TABLE member ADD COLUMN suspended_notice text;
COMMENT ON COLUMN member.suspended_notice IS 'In words for the member itself; null: it is told that the login failed.';

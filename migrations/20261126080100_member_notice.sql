-- What a suspended member is told when it logs in.

ALTER TABLE member ADD COLUMN suspended_notice text;
COMMENT ON COLUMN member.suspended_notice IS 'In words for the member itself; null: it is told that the login failed.';

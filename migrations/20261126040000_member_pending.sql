-- Members who wait for approval.

ALTER TABLE member
    DROP CONSTRAINT member_status_known,
    ADD CONSTRAINT member_status_known CHECK (status IN ('active', 'suspended', 'deactivated', 'pending'));
COMMENT ON COLUMN member.status IS 'active: may log in. suspended: may not, messages wait. deactivated: may not, and receives nothing. pending: the same, until an admin approves.';

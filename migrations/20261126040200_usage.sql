-- How much sites are used, by day.

CREATE TABLE usage_day (
    site_id  uuid NOT NULL,
    day      date NOT NULL,
    messages bigint NOT NULL,
    octets   bigint NOT NULL,
    PRIMARY KEY (site_id, day)
);
COMMENT ON TABLE usage_day IS 'Posts that were queued for at least one device, and the octets of their data, each post once. Written with the spill, so seconds late. No foreign key: a spill must never be refused for a site that is gone.';
COMMENT ON COLUMN usage_day.day IS 'Of the post, in UTC.';
-- All sites of some days.
CREATE INDEX usage_day_by_day ON usage_day (day, site_id);
CALL open_to_reader('usage_day');

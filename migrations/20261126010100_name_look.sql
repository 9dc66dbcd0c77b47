-- What names look like (Unicode's confusable skeletons), so that a site can keep members from imitating each other.

CREATE TABLE name_look (
    site_id uuid NOT NULL,
    look    text NOT NULL,
    name    text NOT NULL,
    PRIMARY KEY (site_id, look, name),
    CONSTRAINT name_look_name FOREIGN KEY (site_id, name) REFERENCES name ON DELETE CASCADE
);
COMMENT ON TABLE name_look IS 'Names by what they look like: those that have a look in common are taken for each other. Those of earlier releases are added by workers.';
-- Names that go take their looks with them.
CREATE INDEX name_look_by_name ON name_look (site_id, name);

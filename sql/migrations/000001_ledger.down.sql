-- Back to an empty database: every table, those that refer to others first.
DROP TABLE ticks;
DROP TABLE audit;
DROP TABLE events;
DROP TABLE incidents;
DROP TABLE manifests;
DROP TABLE versions;
DROP TABLE days;
DROP TABLE attempts;
DROP TABLE steps;
DROP TABLE runs;
DROP TABLE datasets;
DROP TABLE counters;

-- SPDX-License-Identifier: Apache-2.0
-- schema_5.sql: version 5: results that were known before a run began, what an attempt's container was
-- made of and what its target drew, failed jobs that are run once more and images that people set.

ALTER TABLE runs ADD COLUMN known TEXT; -- JSON: configs and their results (known.h); NULL: none
ALTER TABLE attempt_ends ADD COLUMN image_id TEXT NOT NULL DEFAULT ''; -- sha256:...; '' not known
ALTER TABLE attempt_ends ADD COLUMN graphs TEXT; -- JSON: the target's charts, thinned; NULL: none

ALTER TABLE jobs ADD COLUMN again INTEGER; -- the failed job that it runs once more; NULL: none

-- A CHECK cannot be widened in place, so the table is made again.
CREATE TABLE commands_5 (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (run),
    op TEXT NOT NULL CHECK (op IN ('pause-run', 'resume-run', 'cancel-run', 'cancel-job',
        'set-limit', 'requeue-job', 'set-image')),
    job INTEGER NOT NULL,           -- means something for cancel-job and requeue-job
    reason TEXT NOT NULL,
    limit_name TEXT NOT NULL DEFAULT 'configs' -- this and value mean something for set-limit
        CHECK (limit_name IN ('configs', 'jobs', 'full_evaluations', 'iterations', 'time',
        'failures', 'budget', 'no_improvement', 'goal', 'parallel', 'priority')),
    value REAL,                     -- time in ms; 0: no limit; for the goal NULL means none
    image TEXT NOT NULL DEFAULT ''  -- means something for set-image
) STRICT;
INSERT INTO commands_5 (seq, wall_ms, run, op, job, reason, limit_name, value)
    SELECT seq, wall_ms, run, op, job, reason, limit_name, value FROM commands;
DROP TABLE commands;
ALTER TABLE commands_5 RENAME TO commands;

-- They are made anew by views.sql; an earlier version may have dropped them already.
DROP VIEW IF EXISTS v_jobs;
DROP VIEW IF EXISTS v_runs;
DROP VIEW IF EXISTS v_incumbents;

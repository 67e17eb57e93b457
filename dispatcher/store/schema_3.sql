-- SPDX-License-Identifier: Apache-2.0
-- schema_3.sql: version 3: what a master lets a worker do, limits that are
-- changed while a run goes on, and what an experiment's log rules say of an attempt's end.

-- A CHECK cannot be widened in place, so the table is made again.
CREATE TABLE commands_3 (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (run),
    op TEXT NOT NULL CHECK (op IN ('pause-run', 'resume-run', 'cancel-run', 'cancel-job',
        'set-limit')),
    job INTEGER NOT NULL,           -- means something for cancel-job
    reason TEXT NOT NULL,
    limit_name TEXT NOT NULL DEFAULT 'configs' -- this and value mean something for set-limit
        CHECK (limit_name IN ('configs', 'jobs', 'full_evaluations', 'iterations', 'time',
        'failures', 'budget', 'no_improvement', 'goal', 'parallel', 'priority')),
    value REAL                      -- time in ms; 0: no limit; for the goal NULL means none
) STRICT;
INSERT INTO commands_3 (seq, wall_ms, run, op, job, reason)
    SELECT seq, wall_ms, run, op, job, reason FROM commands;
DROP TABLE commands;
ALTER TABLE commands_3 RENAME TO commands;

ALTER TABLE attempt_ends ADD COLUMN rule INTEGER NOT NULL DEFAULT 0; -- log rule, from 1 on
ALTER TABLE attempt_ends ADD COLUMN label TEXT NOT NULL DEFAULT '';  -- what that rule calls it

CREATE TABLE worker_states (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL,           -- 4294967295: of no run
    worker TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'paused', 'quarantined', 'draining', 'leaving')),
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX worker_states_worker ON worker_states (worker);

-- They are made anew by views.sql; version 2 may have dropped them already.
DROP VIEW IF EXISTS v_jobs;
DROP VIEW IF EXISTS v_runs;
DROP VIEW IF EXISTS v_incumbents;

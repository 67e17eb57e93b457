-- SPDX-License-Identifier: Apache-2.0
-- schema.sql: the state of a master, version 1. One table a kind of fact; rows are only ever added.
--
-- seq        place in the one sequence of facts over all runs and tables; without gaps
-- wall_ms    when, in milliseconds since 1970 (UTC); for display
-- run        number of the run in this file
-- REAL       NULL stands for NaN (no loss, no previous budget)
-- loss       in minimized form: the negated objective value when the experiment says maximize
-- 64-bit unsigned numbers (run_uid, seed, incarnation, sequence) are kept as signed ones of the
-- same bits. A later version is a further script and a higher user_version.

CREATE TABLE runs (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL UNIQUE,
    run_id TEXT NOT NULL UNIQUE,
    run_uid INTEGER NOT NULL,       -- random; names the run on the wire
    seed INTEGER NOT NULL,
    experiment TEXT                 -- canonical JSON, every default explicit
) STRICT;

CREATE TABLE configs (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (run),
    config INTEGER NOT NULL,        -- 0, 1, 2 ... in the run
    iteration INTEGER NOT NULL,     -- config id: iteration, budget index, running index
    budget_index INTEGER NOT NULL,
    running_index INTEGER NOT NULL,
    values_f64 BLOB NOT NULL,       -- little-endian doubles, one a param in the order of the space
    params TEXT,                    -- the same as JSON, for people
    sampler TEXT NOT NULL,
    model INTEGER NOT NULL CHECK (model IN (0, 1)),
    model_budget REAL,
    model_count INTEGER NOT NULL,
    cut INTEGER NOT NULL,           -- the last fact the sampler had seen
    UNIQUE (run, config)
) STRICT;

CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (run),
    job INTEGER NOT NULL,           -- 0, 1, 2 ... in the run
    config INTEGER NOT NULL,
    iteration INTEGER NOT NULL,
    rung INTEGER NOT NULL,
    budget REAL,
    budget_previous REAL,           -- NULL: a new config
    UNIQUE (run, job),
    FOREIGN KEY (run, config) REFERENCES configs (run, config)
) STRICT;

CREATE TABLE attempts (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL,
    job INTEGER NOT NULL,
    attempt INTEGER NOT NULL,       -- 1, 2 ...: the fencing token
    worker TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    root TEXT NOT NULL,             -- work root of the worker
    directory TEXT NOT NULL,        -- state it continues from; '' = from the start
    budget_previous REAL,           -- what the target is told
    UNIQUE (run, job, attempt),
    FOREIGN KEY (run, job) REFERENCES jobs (run, job)
) STRICT;

CREATE TABLE curve_points (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL,
    job INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    step REAL,
    loss REAL,
    FOREIGN KEY (run, job, attempt) REFERENCES attempts (run, job, attempt)
) STRICT;
CREATE INDEX curve_points_job ON curve_points (run, job);

CREATE TABLE attempt_ends (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL,
    job INTEGER NOT NULL,
    attempt INTEGER,                -- NULL: the job was never leased
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'failed', 'diverged', 'no-result', 'timeout',
        'oom', 'cancelled', 'stopped', 'preempted', 'config-error', 'infra')),
    requeued INTEGER NOT NULL CHECK (requeued IN (0, 1)), -- 0: the job is closed
    charged INTEGER NOT NULL CHECK (charged IN (0, 1)),   -- 1: used up one retry
    loss REAL,
    by_report INTEGER NOT NULL CHECK (by_report IN (0, 1)),
    worker TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    started_wall_ms INTEGER NOT NULL,  -- the worker's clock; 0 unknown
    finished_wall_ms INTEGER NOT NULL,
    exit_code INTEGER NOT NULL,        -- -1 unknown
    message TEXT NOT NULL,
    info TEXT,                         -- JSON from the target
    root TEXT NOT NULL,                -- where the config's state is now
    directory TEXT NOT NULL,
    FOREIGN KEY (run, job) REFERENCES jobs (run, job),
    FOREIGN KEY (run, job, attempt) REFERENCES attempts (run, job, attempt)
) STRICT;
CREATE INDEX attempt_ends_job ON attempt_ends (run, job);
-- A job is closed once.
CREATE UNIQUE INDEX attempt_ends_close ON attempt_ends (run, job) WHERE requeued = 0;

CREATE TABLE refused_reports (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (run),
    job INTEGER NOT NULL,           -- as reported: it need not exist
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'failed', 'diverged', 'no-result', 'timeout',
        'oom', 'cancelled', 'stopped', 'preempted', 'config-error', 'infra')),
    loss REAL,
    worker TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;

CREATE TABLE commands (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (run),
    op TEXT NOT NULL CHECK (op IN ('pause-run', 'resume-run', 'cancel-run', 'cancel-job')),
    job INTEGER NOT NULL,           -- means something for cancel-job
    reason TEXT NOT NULL
) STRICT;

CREATE TABLE run_states (
    seq INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (run),
    state TEXT NOT NULL CHECK (state IN ('active', 'closing', 'paused', 'finished', 'cancelled')),
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX run_states_run ON run_states (run);

-- ---- views: what other programs should read ---------------------------------------------------

-- One row a job (others: trial). state is queued, running or closed; outcome only when closed.
CREATE VIEW v_jobs AS
SELECT runs.run_id,
    jobs.job,
    printf('[%d,%d,%d]', configs.iteration, configs.budget_index, configs.running_index)
        AS config_id,
    jobs.budget,
    closed.loss,
    closed.outcome,
    coalesce(last.attempt, 0) AS attempt,
    coalesce(last.worker, '') AS worker,
    strftime('%Y-%m-%dT%H:%M:%fZ', jobs.wall_ms / 1000.0, 'unixepoch') AS submitted,
    strftime('%Y-%m-%dT%H:%M:%fZ',
        CASE WHEN closed.started_wall_ms > 0 THEN closed.started_wall_ms
             ELSE last.wall_ms END / 1000.0, 'unixepoch') AS started,
    strftime('%Y-%m-%dT%H:%M:%fZ',
        CASE WHEN closed.finished_wall_ms > 0 THEN closed.finished_wall_ms
             ELSE closed.wall_ms END / 1000.0, 'unixepoch') AS finished,
    configs.params,
    CASE WHEN closed.seq IS NOT NULL THEN 'closed'
         WHEN last.seq IS NULL THEN 'queued'
         WHEN EXISTS (SELECT 1 FROM attempt_ends AS back
                      WHERE back.run = jobs.run AND back.job = jobs.job
                        AND back.attempt = last.attempt) THEN 'queued'
         ELSE 'running' END AS state,
    jobs.config,
    jobs.iteration,
    jobs.rung,
    jobs.budget_previous,
    configs.sampler,
    coalesce(closed.message, '') AS message,
    closed.seq AS closed_seq,
    jobs.run
FROM jobs
JOIN runs ON runs.run = jobs.run
JOIN configs ON configs.run = jobs.run AND configs.config = jobs.config
LEFT JOIN attempts AS last ON last.run = jobs.run AND last.job = jobs.job
    AND last.attempt = (SELECT max(attempt) FROM attempts AS other
                        WHERE other.run = jobs.run AND other.job = jobs.job)
LEFT JOIN attempt_ends AS closed ON closed.run = jobs.run AND closed.job = jobs.job
    AND closed.requeued = 0;

-- One row a run.
CREATE VIEW v_runs AS
SELECT runs.run_id,
    coalesce(latest.state, 'active') AS state,
    coalesce(latest.reason, '') AS reason,
    strftime('%Y-%m-%dT%H:%M:%fZ', runs.wall_ms / 1000.0, 'unixepoch') AS created,
    (SELECT count(*) FROM configs WHERE configs.run = runs.run) AS configs,
    (SELECT count(*) FROM jobs WHERE jobs.run = runs.run) AS jobs,
    (SELECT count(*) FROM attempt_ends AS e
     WHERE e.run = runs.run AND e.requeued = 0) AS jobs_closed,
    (SELECT count(*) FROM attempt_ends AS e
     WHERE e.run = runs.run AND e.requeued = 0 AND e.outcome = 'ok') AS jobs_ok,
    (SELECT total(j.budget) FROM jobs AS j
     JOIN attempt_ends AS e ON e.run = j.run AND e.job = j.job AND e.requeued = 0
     WHERE j.run = runs.run AND e.attempt IS NOT NULL) AS budget_spent,
    CASE WHEN json_valid(runs.experiment)
         THEN json_extract(runs.experiment, '$.objective.name') END AS objective,
    CASE WHEN json_valid(runs.experiment)
         THEN json_extract(runs.experiment, '$.objective.direction') END AS direction,
    printf('%016x', runs.run_uid) AS run_uid,
    runs.experiment,
    runs.run
FROM runs
LEFT JOIN run_states AS latest ON latest.seq =
    (SELECT max(seq) FROM run_states WHERE run_states.run = runs.run);

-- The best job of each run at each budget, the first of equals; the incumbent of a run is the one
-- of the highest budget.
CREATE VIEW v_incumbents AS
SELECT run_id, budget, loss, job, config_id, finished, params, config, run
FROM (SELECT runs.run_id, jobs.budget, e.loss, jobs.job,
          printf('[%d,%d,%d]', configs.iteration, configs.budget_index, configs.running_index)
              AS config_id,
          strftime('%Y-%m-%dT%H:%M:%fZ', e.wall_ms / 1000.0, 'unixepoch') AS finished,
          configs.params, configs.config, jobs.run,
          row_number() OVER (PARTITION BY jobs.run, jobs.budget
              ORDER BY e.loss, e.seq) AS place
      FROM attempt_ends AS e
      JOIN jobs ON jobs.run = e.run AND jobs.job = e.job
      JOIN configs ON configs.run = jobs.run AND configs.config = jobs.config
      JOIN runs ON runs.run = e.run
      WHERE e.requeued = 0 AND e.outcome = 'ok' AND e.loss IS NOT NULL)
WHERE place = 1;

-- Learning curves: one row a reported value.
CREATE VIEW v_curve AS
SELECT runs.run_id, p.job,
    printf('[%d,%d,%d]', configs.iteration, configs.budget_index, configs.running_index)
        AS config_id,
    jobs.budget, p.attempt, p.step, p.loss, p.run
FROM curve_points AS p
JOIN runs ON runs.run = p.run
JOIN jobs ON jobs.run = p.run AND jobs.job = p.job
JOIN configs ON configs.run = jobs.run AND configs.config = jobs.config;

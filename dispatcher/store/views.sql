-- SPDX-License-Identifier: Apache-2.0
-- views.sql: what other programs should read, as of the newest version; earlier versions of the file
-- have the views of their scripts. A reader of an older file makes these for itself (view.c).

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
    jobs.run,
    closed.measures,
    closed.violation,
    jobs.repeat,
    jobs.again
FROM jobs
JOIN runs ON runs.run = jobs.run
JOIN configs ON configs.run = jobs.run AND configs.config = jobs.config
LEFT JOIN attempts AS last ON last.run = jobs.run AND last.job = jobs.job
    AND last.attempt = (SELECT max(attempt) FROM attempts AS other
                        WHERE other.run = jobs.run AND other.job = jobs.job)
LEFT JOIN attempt_ends AS closed ON closed.run = jobs.run AND closed.job = jobs.job
    AND closed.requeued = 0;

-- One row a run. objective and direction are the first one's.
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
         THEN coalesce(json_extract(runs.experiment, '$.objective.name'),
                       json_extract(runs.experiment, '$.objective[0].name')) END AS objective,
    CASE WHEN json_valid(runs.experiment)
         THEN coalesce(json_extract(runs.experiment, '$.objective.direction'),
                       json_extract(runs.experiment, '$.objective[0].direction')) END AS direction,
    printf('%016x', runs.run_uid) AS run_uid,
    runs.experiment,
    runs.run,
    CASE WHEN json_valid(runs.experiment)
         THEN max(1, coalesce(json_array_length(runs.experiment, '$.objective'), 1)) END
        AS objectives,
    CASE WHEN json_valid(runs.experiment)
         THEN coalesce(json_array_length(runs.experiment, '$.constraints'), 0) END AS constraints
FROM runs
LEFT JOIN run_states AS latest ON latest.seq =
    (SELECT max(seq) FROM run_states WHERE run_states.run = runs.run);

-- The best job of each run at each budget, the first of equals: feasible ones before others, then by
-- the first loss. The incumbent of a run is the one of the highest budget.
CREATE VIEW v_incumbents AS
SELECT run_id, budget, loss, job, config_id, finished, params, config, run, measures, violation
FROM (SELECT runs.run_id, jobs.budget, e.loss, jobs.job,
          printf('[%d,%d,%d]', configs.iteration, configs.budget_index, configs.running_index)
              AS config_id,
          strftime('%Y-%m-%dT%H:%M:%fZ', e.wall_ms / 1000.0, 'unixepoch') AS finished,
          configs.params, configs.config, jobs.run, e.measures, e.violation,
          row_number() OVER (PARTITION BY jobs.run, jobs.budget
              ORDER BY e.violation, e.loss, e.seq) AS place
      FROM attempt_ends AS e
      JOIN jobs ON jobs.run = e.run AND jobs.job = e.job
      JOIN configs ON configs.run = jobs.run AND configs.config = jobs.config
      JOIN runs ON runs.run = e.run
      WHERE e.requeued = 0 AND e.outcome = 'ok' AND e.loss IS NOT NULL)
WHERE place = 1;

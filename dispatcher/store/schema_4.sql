-- SPDX-License-Identifier: Apache-2.0
-- schema_4.sql: version 4: noisy targets, whose configs are evaluated more than once.

ALTER TABLE jobs ADD COLUMN repeat INTEGER NOT NULL DEFAULT 0; -- 0: the first evaluation

-- They are made anew by views.sql; an earlier version may have dropped them already.
DROP VIEW IF EXISTS v_jobs;
DROP VIEW IF EXISTS v_runs;
DROP VIEW IF EXISTS v_incumbents;

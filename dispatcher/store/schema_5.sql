-- SPDX-License-Identifier: Apache-2.0
-- schema_5.sql: version 5: results that were known before a run began.

ALTER TABLE runs ADD COLUMN known TEXT; -- JSON: configs and their results (known.h); NULL: none

-- They are made anew by views.sql; an earlier version may have dropped them already.
DROP VIEW IF EXISTS v_jobs;
DROP VIEW IF EXISTS v_runs;
DROP VIEW IF EXISTS v_incumbents;

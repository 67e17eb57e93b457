-- SPDX-License-Identifier: Apache-2.0
-- schema_5.sql: version 5: results that were known before a run began, and what an attempt's container was made of.

ALTER TABLE runs ADD COLUMN known TEXT; -- JSON: configs and their results (known.h); NULL: none
ALTER TABLE attempt_ends ADD COLUMN image_id TEXT NOT NULL DEFAULT ''; -- sha256:...; '' not known

-- They are made anew by views.sql; an earlier version may have dropped them already.
DROP VIEW IF EXISTS v_jobs;
DROP VIEW IF EXISTS v_runs;
DROP VIEW IF EXISTS v_incumbents;

-- SPDX-License-Identifier: Apache-2.0
-- schema_2.sql: version 2: several objectives and constraints.
--
-- measures   JSON list: the minimized losses of all objectives, then the values of the constraints
--            as the target reported them; NULL where one loss is all, or there was no ok end
-- violation  by how much constraints are broken in all; 0 is feasible

ALTER TABLE attempt_ends ADD COLUMN measures TEXT;
ALTER TABLE attempt_ends ADD COLUMN violation REAL NOT NULL DEFAULT 0;

-- They are made anew by views.sql.
DROP VIEW v_jobs;
DROP VIEW v_runs;
DROP VIEW v_incumbents;

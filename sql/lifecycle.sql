-- The extension goes only when no pipeline needs it, whichever way it is dropped.
\set SHOW_CONTEXT never
CREATE TABLE captured (id int PRIMARY KEY);
CREATE PUBLICATION plain FOR TABLE captured;
SELECT walhouse.create_pipeline('p', publication => 'plain', brokers => '127.0.0.1:1');
SELECT walhouse.create_pipeline('q', publication => 'plain', brokers => '127.0.0.1:1');
SELECT walhouse.pause('p');
\set VERBOSITY terse
DROP EXTENSION walhouse CASCADE;
DROP SCHEMA walhouse CASCADE;
DROP TABLE walhouse.pipeline;
\set VERBOSITY default
SELECT walhouse.drop_pipeline('p');
DROP EXTENSION walhouse;

-- Both can go in one transaction. Rolled back, the pipeline is there again, but not its slot.
BEGIN;
SELECT walhouse.drop_pipeline('q');
DROP EXTENSION walhouse;
ROLLBACK;
DROP EXTENSION walhouse;
SELECT walhouse.drop_pipeline('q');

-- What is only called so is nobody's business.
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.pipeline (name text);
INSERT INTO elsewhere.pipeline VALUES ('x');
DROP SCHEMA elsewhere CASCADE;
DROP PUBLICATION plain;
DROP TABLE captured;

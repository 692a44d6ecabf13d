SELECT pg_drop_replication_slot('regress');
DROP PUBLICATION everything;
DROP SCHEMA regress CASCADE;
DROP EXTENSION walhouse;

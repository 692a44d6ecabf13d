/* walhouse--0.2.0.sql - pipelines as SQL sees them. */
\echo Use "CREATE EXTENSION walhouse" to load this file. \quit


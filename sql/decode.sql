-- walhouse.decode() of what is not a chunk: an error that says what and where.
SELECT walhouse.decode('');
SELECT walhouse.decode('\x00');
SELECT walhouse.decode('\x5702');
SELECT walhouse.decode('\x5701');
SELECT walhouse.decode('\x57015a00');
SELECT walhouse.decode('\x57014203aabbcc');
SELECT walhouse.decode('\x57014302');
SELECT walhouse.decode('\x570149020000');
SELECT walhouse.decode('\x570153090102030405060708ff');
-- An event whose schema this session has not seen shows its bytes.
SELECT d - 'commit_time' FROM walhouse.decode('\x57014215' || '\x0102030405060708'::bytea || '\x2a000000'::bytea
	|| '\x0000000000000000'::bytea || '\x01'::bytea || '\x46080807060504030201'::bytea || '\x49060004deadbeef'::bytea) d;

-- Damaged bytes are errors, whatever the damage: every byte of real chunks is changed in turn.
CREATE TABLE frail (id int PRIMARY KEY, t text, n numeric(20,4), d date, ts timestamptz, u uuid, f float8, b bool,
	a int[], at text[], an numeric(9,2)[] NOT NULL DEFAULT '{1.5,NULL}');
INSERT INTO frail VALUES (1, 'text', 1.5, '2024-01-01', '2024-01-01', '00112233-4455-6677-8899-aabbccddeeff', 1.5, true, '{1,NULL,3}', '{{a},{b}}'),
	(2, NULL, NULL, 'infinity', '-infinity', NULL, NULL, NULL, NULL, '{}');
UPDATE frail SET id = 3 WHERE id = 1;
DELETE FROM frail;
CREATE TABLE regress.chunks AS
SELECT row_number() OVER () AS n, data FROM pg_logical_slot_get_binary_changes('regress', NULL, NULL, 'publication', 'everything');
CREATE FUNCTION regress.damage(chunk bytea, flip int) RETURNS TABLE (sqlstate_seen text, times bigint) LANGUAGE plpgsql AS $$
DECLARE
	seen jsonb := '{}';
	state text;
BEGIN
	FOR at IN 0..length(chunk) - 1 LOOP
		BEGIN
			PERFORM walhouse.decode(set_byte(chunk, at, get_byte(chunk, at) # flip));
			PERFORM walhouse.decode(substr(chunk, 1, at));
			state := 'none';
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
		END;
		seen := seen || jsonb_build_object(state, coalesce((seen->>state)::int, 0) + 1);
	END LOOP;
	RETURN QUERY SELECT key, value::text::bigint FROM jsonb_each(seen);
END $$;
-- XX001 data_corrupted, 22008 datetime_field_overflow; bytes inside a value or text may change without being damage.
SELECT DISTINCT sqlstate_seen FROM regress.chunks, unnest('{1,128,255}'::int[]) flip, LATERAL regress.damage(data, flip)
WHERE sqlstate_seen <> 'none' ORDER BY 1;
DROP TABLE frail, regress.chunks;
DROP FUNCTION regress.damage;

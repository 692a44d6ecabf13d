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

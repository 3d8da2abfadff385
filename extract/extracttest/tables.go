package extracttest

// Lineitem creates a table of so many rows that is like TPC-H's: integers, decimals, dates, few texts of few values, and one of many.
const Lineitem = `CREATE UNLOGGED TABLE lineitem AS SELECT
	(i / 4 * 8 + i %% 4)::bigint AS orderkey, (hashint8(i) & 2147483647) %% 200000 + 1 AS partkey, (hashint8(i + 7) & 2147483647) %% 10000 + 1 AS suppkey,
	(i %% 7 + 1)::int AS linenumber, ((hashint8(i + 1) & 2147483647) %% 50 + 1)::numeric(12,2) AS quantity,
	((hashint8(i + 2) & 2147483647) %% 10000000 / 100.0 + 900)::numeric(12,2) AS extendedprice,
	((hashint8(i + 3) & 2147483647) %% 11 / 100.0)::numeric(12,2) AS discount, ((hashint8(i + 4) & 2147483647) %% 9 / 100.0)::numeric(12,2) AS tax,
	(ARRAY['A','N','R'])[(hashint8(i + 5) & 2147483647) %% 3 + 1]::char(1) AS returnflag, (ARRAY['F','O'])[i %% 2 + 1]::char(1) AS linestatus,
	date '1992-01-02' + (hashint8(i / 4) & 2147483647) %% 2500 + (i %% 4)::int AS shipdate, date '1992-01-31' + (hashint8(i / 4 + 1) & 2147483647) %% 2466 AS commitdate,
	date '1992-01-03' + (hashint8(i / 4) & 2147483647) %% 2500 + (hashint8(i + 6) & 2147483647) %% 30 AS receiptdate,
	(ARRAY['DELIVER IN PERSON','COLLECT COD','NONE','TAKE BACK RETURN'])[(hashint8(i + 8) & 2147483647) %% 4 + 1]::char(25) AS shipinstruct,
	(ARRAY['REG AIR','AIR','RAIL','SHIP','TRUCK','MAIL','FOB'])[(hashint8(i + 9) & 2147483647) %% 7 + 1]::char(10) AS shipmode,
	(substr('carefully final deposits haggle quickly ironic requests', (hashint8(i + 10) & 2147483647) %% 30 + 1, (hashint8(i + 11) & 2147483647) %% 20 + 6) || ' ' ||
	 substr(md5(i::text), 1, 8))::varchar(44) AS comment
	FROM generate_series(1, %d::bigint) i`

// Users creates a wide table: an identifier, documents, instants, texts with NULLs among them, lists.
const Users = `CREATE UNLOGGED TABLE users AS SELECT md5(i::text)::uuid AS id, 'user' || i || '@example.com' AS email,
	CASE WHEN i %% 5 > 0 THEN 'Name ' || md5((i * 3)::text) END AS full_name, CASE WHEN i %% 3 = 0 THEN '+44 20 ' || i END AS phone,
	jsonb_build_object('plan', (ARRAY['free','team','business'])[i %% 3 + 1], 'seats', i %% 50, 'theme', jsonb_build_object('dark', i %% 2 = 0, 'accent', substr(md5(i::text), 1, 6)),
	  'source', 'campaign ' || i %% 1000, 'flags', jsonb_build_array(i %% 7, i %% 11, 'x' || i)) AS settings,
	timestamptz '2020-01-01 00:00Z' + i * interval '37.123456 seconds' AS created_at,
	CASE WHEN i %% 4 > 0 THEN timestamptz '2024-01-01 00:00Z' + i * interval '11.5 seconds' END AS seen_at, i %% 10 > 0 AS active,
	(ARRAY['DE','FR','GB','US','JP','BR','IN'])[i %% 7 + 1] AS country, (ARRAY['Europe/Berlin','Europe/Paris','Europe/London','America/New_York','Asia/Tokyo'])[i %% 5 + 1] AS zone,
	CASE WHEN i %% 2 = 0 THEN repeat(md5(i::text) || ' ', 4) END AS biography, ARRAY['tag' || i %% 20, 'group' || i %% 300, NULL] AS tags,
	ARRAY[i %% 97, i, NULL]::int[] AS visits, (i * 1.37)::numeric(14,4) AS balance, i::double precision / 7 AS score
	FROM generate_series(1, %d) i`

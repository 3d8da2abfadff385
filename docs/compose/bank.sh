# Run by PostgreSQL's image when its data folder is empty: production's database, and the ledger's.
set -e
createdb -U postgres bank
createdb -U postgres daybreak
pgbench -U postgres -i -q -s 10 bank
pgbench -U postgres -n -t 1000 bank
psql -U postgres -d bank \
  -c "CREATE ROLE daybreak_reader LOGIN PASSWORD 'reader'" \
  -c "GRANT SELECT ON ALL TABLES IN SCHEMA public TO daybreak_reader"

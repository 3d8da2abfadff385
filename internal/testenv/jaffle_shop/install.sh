#!/usr/bin/env bash
# install.sh DIR puts the jaffle_shop project into DIR, once.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
wanted=$(sha256sum <"$here/project.txt")
exec 8>"$dir/.lock"
flock 8
[[ $(cat "$dir/installed" 2>/dev/null) != "$wanted" ]] || exit 0

echo "installing jaffle_shop into $dir"
rm -rf "${dir:?}/jaffle_shop" "$dir/installed" "$dir/download"
python=$("$here/../python/install.sh" dbt "$dir/..")/bin/python
"$python" -m pip --quiet --disable-pip-version-check --retries 10 download --no-deps --no-binary sqlmesh --dest "$dir/download" --requirement "$here/project.txt"
tar -xzf "$dir"/download/sqlmesh-*.tar.gz -C "$dir/download" --wildcards '*/tests/fixtures/dbt/jaffle_shop_duckdb/*'
mv "$dir"/download/sqlmesh-*/tests/fixtures/dbt/jaffle_shop_duckdb "$dir/jaffle_shop"
rm -rf "$dir/download" "$dir/jaffle_shop/profiles.yml"
echo "$wanted" >"$dir/installed"

#!/usr/bin/env bash
# install.sh DIR puts dbt and the jaffle_shop project into DIR, once.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
wanted=$(cat "$here/requirements.txt" "$here/project.txt" | sha256sum)
exec 9>"$dir/.lock"
flock 9
[[ $(cat "$dir/installed" 2>/dev/null) != "$wanted" ]] || exit 0

echo "installing dbt into $dir"
rm -rf "${dir:?}/venv" "$dir/jaffle_shop" "$dir/installed" "$dir/download"
python3 -m venv "$dir/venv"
pip=("$dir/venv/bin/python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" install --requirement "$here/requirements.txt"
"${pip[@]}" download --no-deps --no-binary sqlmesh --dest "$dir/download" --requirement "$here/project.txt"
tar -xzf "$dir"/download/sqlmesh-*.tar.gz -C "$dir/download" --wildcards '*/tests/fixtures/dbt/jaffle_shop_duckdb/*'
mv "$dir"/download/sqlmesh-*/tests/fixtures/dbt/jaffle_shop_duckdb "$dir/jaffle_shop"
rm -rf "$dir/download" "$dir/jaffle_shop/profiles.yml"
echo "$wanted" >"$dir/installed"

#!/usr/bin/env bash
# install.sh DIR puts a dbt with its adapter for BigQuery into DIR, once.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
wanted=$(sha256sum <"$here/requirements.txt")
exec 9>"$dir/.lock"
flock 9
[[ $(cat "$dir/installed" 2>/dev/null) != "$wanted" ]] || exit 0

echo "installing dbt for BigQuery into $dir"
rm -rf "${dir:?}/venv" "$dir/installed"
python3 -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip --quiet --disable-pip-version-check install --requirement "$here/requirements.txt"
echo "$wanted" >"$dir/installed"

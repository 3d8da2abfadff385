#!/usr/bin/env bash
# Installs what the tests need and this machine lacks, on Debian and its like, and builds the test servers.
set -euo pipefail

missing=()

# need WHAT PACKAGE... — WHAT is a program, or a pattern of files, that shows that the packages are there.
need() {
	command -v "$1" >/dev/null || compgen -G "$1" >/dev/null || missing+=("${@:2}")
}

need c++ g++ # DuckDB is linked in
need '/usr/lib/postgresql/*/bin/initdb' postgresql
need mariadbd mariadb-server
need npm npm # carries a MySQL server
need python3 python3
need "/usr/lib/python3*/ensurepip" python3-venv
need chromium chromium
need '/usr/share/fonts/truetype/*/*.ttf' fonts-dejavu-core fonts-liberation

if ((${#missing[@]})); then
	if ! command -v apt-get >/dev/null; then
		echo "the tests need these, or what this system calls them: ${missing[*]}" >&2
		exit 1
	fi
	echo "installing ${missing[*]}"
	as_root=()
	((UID == 0)) || as_root=(sudo)
	"${as_root[@]}" apt-get update -qq
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
fi

for server in github.com/versity/versitygw/cmd/versitygw github.com/Shopify/toxiproxy/v2/cmd/server; do
	GOFLAGS=-buildvcs=false go -C "$(dirname "$0")/tools" tool -n "$server" >/dev/null
done

"$(dirname "$0")/dbt/install.sh" "${XDG_CACHE_HOME:-$HOME/.cache}/daybreak/dbt"
"$(dirname "$0")/dbt-bigquery/install.sh" "${XDG_CACHE_HOME:-$HOME/.cache}/daybreak/dbt-bigquery"
"$(dirname "$0")/mysql/install.sh" "${XDG_CACHE_HOME:-$HOME/.cache}/daybreak/mysql"
"$(dirname "$0")/schemathesis/install.sh" "${XDG_CACHE_HOME:-$HOME/.cache}/daybreak/schemathesis"
"$(dirname "$0")/axe/install.sh" "${XDG_CACHE_HOME:-$HOME/.cache}/daybreak/axe"

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
need curl curl # runs what the pages offer to copy
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
	apt=(apt-get -qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600)
	"${as_root[@]}" "${apt[@]}" update
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null
fi

for server in github.com/versity/versitygw/cmd/versitygw github.com/Shopify/toxiproxy/v2/cmd/server \
	github.com/daybreak-data/daybreak/internal/testenv/tools/manifests; do
	GOFLAGS=-buildvcs=false go -C "$(dirname "$0")/tools" tool -n "$server" >/dev/null
done

here=$(dirname "$0")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/daybreak
for list in dbt dbt-bigquery schemathesis openlineage; do
	"$here/python/install.sh" "$list" "$cache" >/dev/null
done
for thing in jaffle_shop mysql axe; do
	"$here/$thing/install.sh" "$cache/$thing"
done

#!/usr/bin/env bash
# Installs the other tools from PyPI, each into an environment of its own, under the folder that is named.
set -euo pipefail
into=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$into"
grep -v '^#' "$here/requirements.txt" | while IFS=: read -r name packages; do
	made="$into/$name/.made"
	[[ -f $made && $(<"$made") == "$packages" ]] && continue
	echo "installing$packages"
	python3 -m venv --clear "$into/$name"
	# shellcheck disable=SC2086 # several packages
	"$into/$name/bin/pip" install --quiet --disable-pip-version-check $packages
	printf '%s' "$packages" >"$made"
done

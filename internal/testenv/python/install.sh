#!/usr/bin/env bash
# install.sh NAME DIR puts what NAME.txt beside this file lists into the virtual environment DIR/NAME-SUM, once, and prints where
# that is. SUM is of the list, so that checkouts with other lists do not take each other's away.
set -euo pipefail

list=$(cd "$(dirname "$0")" && pwd)/$1.txt
mkdir -p "$2"
sum=$(sha256sum <"$list")
made=$(cd "$2" && pwd)/$1-${sum:0:12}
exec 9>"$made.lock"
flock 9
if [[ ! -e $made/complete ]]; then
	echo "installing $1 into $made" >&2
	python3 -m venv --clear "$made"
	"$made/bin/python" -m pip --quiet --disable-pip-version-check --retries 10 install --requirement "$list" >&2
	touch "$made/complete"
fi
echo "$made"

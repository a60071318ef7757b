#!/bin/sh
# Installs the clients of `make test-clients` into a folder, from their registries, at the versions
# written down here. What cannot be installed is said, and its tests are skipped; nothing fails.
# curl and h2load are the system's (Debian: curl, nghttp2-client).
set -u
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
mkdir -p "$folder/node"

if ! command -v npm >/dev/null 2>&1; then
    echo "skipped: npm is not installed, so there is no node-apn"
elif ! cmp -s "$here/node/package-lock.json" "$folder/node/installed.json"; then
    echo "installing @parse/node-apn into $folder/node"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$folder/node/"
    if (cd "$folder/node" && npm ci --ignore-scripts --no-audit --no-fund --silent); then
        cp "$here/node/package-lock.json" "$folder/node/installed.json"
    else
        echo "skipped: npm could not install @parse/node-apn"
    fi
fi

if ! command -v python3 >/dev/null 2>&1; then
    echo "skipped: python3 is not installed, so there are no aioapns and httpx"
elif ! cmp -s "$here/python/requirements.txt" "$folder/python/installed.txt"; then
    echo "installing aioapns and httpx into $folder/python"
    if python3 -m venv --clear "$folder/python" &&
        "$folder/python/bin/pip" install --quiet --disable-pip-version-check \
            --requirement "$here/python/requirements.txt"; then
        cp "$here/python/requirements.txt" "$folder/python/installed.txt"
    else
        echo "skipped: pip could not install aioapns and httpx"
    fi
fi

for program in curl h2load; do
    command -v "$program" >/dev/null 2>&1 || echo "skipped: $program is not installed"
done
exit 0

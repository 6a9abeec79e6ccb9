#!/bin/sh
# Installs the other programs that tests/compat drives: Debian packages, then one npm package.
# May be run again at any time: what is there already is left alone.
set -eu

cd "$(dirname "$0")"

fail() {
    echo "tests/compat/install.sh: $1" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "needs root (or sudo) to install:$missing"
    fi
}

installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

command -v dpkg-query >/dev/null ||
    fail "installs Debian packages, and this is no Debian: install PHP, Perl and C clients by hand"

wanted="php-cli php-gearman gearman-tools libgearman-client-perl redis-server gcc python3-dev curl chromium chromium-driver"
command -v node >/dev/null || wanted="$wanted nodejs"
command -v npm >/dev/null || wanted="$wanted npm"

missing=""
for package in $wanted; do
    installed "$package" || missing="$missing $package"
done

if [ -n "$missing" ]; then
    as_root apt-get update -qq || fail "apt-get update failed: is the network there?"
    # shellcheck disable=SC2086  # the names are separate words
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends $missing >/dev/null ||
        fail "apt-get could not install:$missing"
fi

for package in gearmanode pyright; do
    version=$(sed -n "s/.*\"$package\": \"\(.*\)\".*/\1/p" package.json)
    grep -qs "\"version\": \"$version\"" "node_modules/$package/package.json" ||
        npm install --no-package-lock --no-audit --no-fund --loglevel=error >/dev/null ||
        fail "npm could not install $package: is the registry there?"
done

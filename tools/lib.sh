# Shared by the scripts of tools/ and tests/: where things are, messages, and fetching.
# shellcheck shell=bash

TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tools/versions
. "$TREE/tools/versions"
export WALHOUSE_CACHE=${WALHOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/walhouse}

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# version_at_least HAVE WANTED
version_at_least() { printf '%s\n%s\n' "$2" "$1" | sort -CV; }

# retry COMMAND...: registries have bad moments; three tries, a few seconds apart.
retry() {
    local try
    for try in 1 2 3; do
        "$@" && return 0
        [ "$try" = 3 ] || sleep $((try * 3))
    done
    return 1
}

# npm_unpack SPEC SHA256 DIR: the files of one npm package, at DIR. Leaves nothing when it fails.
npm_unpack() {
    local spec=$1 sha256=$2 dir=$3 parcel tarball
    parcel=$(mktemp -d "$WALHOUSE_CACHE/.fetch.XXXXXX")
    (
        trap 'rm -rf "$parcel"' EXIT
        cd "$parcel" || exit 1
        # What npm would keep of it is of no use once it is unpacked.
        retry npm pack --silent --cache "$parcel/cache" "$spec" >npm.log 2>&1 || die "could not fetch $spec from npm: $(tail -n 1 npm.log)"
        tarball=$(find . -maxdepth 1 -name '*.tgz')
        sha256sum --quiet --check - <<<"$sha256  $tarball" >&2 || die "$spec is not what tools/versions pins"
        mkdir files
        tar -xzf "$tarball" -C files --strip-components=1
        rm -rf "$dir"
        mv files "$dir"
    )
}

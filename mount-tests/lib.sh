# What the scripts beside this one share: `source "$(dirname "$0")/lib.sh"`. It makes a folder, $folder, that goes when the script
# ends, with all mounts and processes that were started through the functions here.
#
# $weft and $weftd are the programs: of the folder WEFT_BIN_DIR, else they are built.
# shellcheck shell=bash
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
script=$(basename "$0")

fail() {
    echo "$script: $*" >&2
    exit 1
}

need() { # PROGRAM PACKAGE...
    command -v "$1" >/dev/null || fail "$1 is missing (${*:2})"
}

find_binaries() {
    if [ -z "${WEFT_BIN_DIR:-}" ]; then
        (cd "$here" && cargo build --quiet --locked -p weft-fs -p weft-server --bins)
        local target
        target=$(cd "$here" && cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
        WEFT_BIN_DIR=$target/debug
    fi
    weft=$WEFT_BIN_DIR/weft weftd=$WEFT_BIN_DIR/weftd
}

folder=$(mktemp -d)
pids=() # processes of the script, or leaders of groups of them
mounts=()
others=() # mounts of other kinds
clean_up() {
    local status=$? mount pid
    trap - EXIT
    if [ "$status" != 0 ]; then
        tail -n 20 "$folder"/*.log >&2 2>/dev/null || true
    fi
    for pid in "${pids[@]}"; do kill -- "-$pid" 2>/dev/null || kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    for mount in "${mounts[@]}"; do
        # Asks the table and not the mount, whose server may have gone.
        if grep -q " $mount fuse.weft " /proc/self/mounts; then "$weft" umount "$mount" || fusermount3 -u -z "$mount" || true; fi
    done
    for mount in "${others[@]}"; do umount "$mount" || umount -l "$mount" || true; done
    for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${servers[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf --one-file-system "$folder"
    exit "$status"
}
servers=()
trap clean_up EXIT
trap 'exit 130' INT TERM

# A UDP port that nobody listens on now, below those that the system gives to clients.
free_port() {
    while :; do
        local port=$((20000 + RANDOM % 12000))
        if ! grep -qi ":$(printf '%04x' "$port") " /proc/net/udp /proc/net/udp6; then
            echo "$port"
            return
        fi
    done
}

# WHAT COMMAND...: asks until it says yes, for at most a minute.
wait_for() {
    local what=$1
    shift
    for _ in $(seq 600); do
        if "$@"; then return; fi
        sleep 0.1
    done
    fail "waited a minute for $what"
}

# One weftd with all roles over loopback; $manager is its address.
start_server() {
    manager=127.0.0.1:$(free_port)
    "$weftd" init --dir "$folder/cluster" --listen "$manager" >/dev/null
    export WEFT_IDENTITY=$folder/cluster/identity
    # In a session of its own: a signal to all of the script's processes must not end it before the mounts.
    setsid "$weftd" --config "$folder/cluster/weftd.toml" >"$folder/weftd.log" 2>&1 &
    servers+=($!)
    server_is_up() { [ "$("$weft" status --json "weft://$manager" 2>/dev/null | grep -c '"state": "alive"')" -ge 1 ]; }
    wait_for "the server" server_is_up
}

# VOLUME NAME [OPTION...]: a mount at $folder/NAME.
mount_volume() {
    mkdir "$folder/$2"
    mounts+=("$folder/$2")
    "$weft" mount "weft://$manager/$1" "$folder/$2" --daemon --log "$folder/$2.log" "${@:3}" || fail "weft mount failed"
}

# NAME [OPTION...]: a mount at $folder/NAME of a store of its own.
mount_local() {
    mounts+=("$folder/$1")
    "$weft" mount --local "$folder/$1.store" "$folder/$1" --daemon --log "$folder/$1.log" "${@:2}" || fail "weft mount failed"
}

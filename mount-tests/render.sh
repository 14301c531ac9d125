#!/usr/bin/env bash
# A real renderer on a real cluster: POV-Ray renders an animation with 4 workers at once, two on each of two mounts.
#
# The cluster is of separate processes: 1 version and provider manager, 3 metadata and 3 data providers, 2 copies.
# Every frame must be the same, bit by bit, on both mounts and on the local disk. Then everything is rendered again with another
# setting, and the first run must still be there under its tag and under .history.
#
# usage: mount-tests/render.sh [FRAMES [WIDTH HEIGHT]]     (24 64 48 unless given)
# Needs povray and fuse3. Leaves nothing behind. WEFT_BIN_DIR names a folder with weft and weftd, else they are built.
set -euo pipefail

frames=${1:-24} width=${2:-64} height=${3:-48}
workers=4
here=$(cd "$(dirname "$0")" && pwd)
for program in povray fusermount3; do
    command -v "$program" >/dev/null || { echo "render.sh: $program is missing (apt install povray fuse3)" >&2; exit 1; }
done

if [ -z "${WEFT_BIN_DIR:-}" ]; then
    (cd "$here" && cargo build --quiet -p weft-fs -p weft-server --bins)
    target=$(cd "$here" && cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    WEFT_BIN_DIR=$target/debug
fi
weft=$WEFT_BIN_DIR/weft weftd=$WEFT_BIN_DIR/weftd

folder=$(mktemp -d)
pids=()
clean_up() {
    status=$?
    if [ "$status" != 0 ]; then
        tail -n 20 "$folder"/*.log >&2 || true
    fi
    for mount in "$folder"/mnt1 "$folder"/mnt2; do
        if mountpoint -q "$mount" 2>/dev/null; then "$weft" umount "$mount" || fusermount3 -u -z "$mount" || true; fi
    done
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$folder"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
    echo "render.sh: $*" >&2
    exit 1
}

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

manager=127.0.0.1:$(free_port)
export WEFT_IDENTITY=$folder/cluster/identity
"$weftd" init --dir "$folder/cluster" --listen "$manager" >/dev/null

start_server() { # NAME ROLE ADDRESS
    cat >"$folder/$1.toml" <<TOML
roles = ["$2"]
listen = "$3"
managers = ["$manager"]
identity = "cluster/identity"
store = "store-$1"
TOML
    "$weftd" --config "$folder/$1.toml" >"$folder/$1.log" 2>&1 &
    pids+=($!)
}
start_server manager version-manager "$manager"
for number in 1 2 3; do
    start_server "metadata$number" metadata "127.0.0.1:$(free_port)"
    start_server "data$number" data "127.0.0.1:$(free_port)"
done
all_alive() {
    [ "$("$weft" status --json "weft://$manager" 2>/dev/null | grep -c '"state": "alive"')" = 6 ]
}
wait_for "six providers" all_alive

"$weft" volume create "weft://$manager/show" --copies 2 >/dev/null
for number in 1 2; do
    mkdir "$folder/mnt$number"
    "$weft" mount "weft://$manager/show" "$folder/mnt$number" >"$folder/mnt$number.log" 2>&1 &
    pids+=($!)
done
for number in 1 2; do wait_for "mount $number" mountpoint -q "$folder/mnt$number"; done

# FIRST LAST HUE OUTPUT-FOLDER. BMP, because POV-Ray writes the time of rendering into files of all other formats.
render() {
    povray "+I$here/scenes/orbit.pov" "+O$4/frame" +FB "+W$width" "+H$height" +KFI1 "+KFF$frames" "+SF$1" "+EF$2" +WT1 -D -GA \
        "Declare=Hue=$3" >"$4.pov.$1.log" 2>&1 || fail "povray failed: $(tail -n 5 "$4.pov.$1.log")"
}

# HUE: all frames by all workers at once, the odd ones on the first mount.
render_on_mounts() {
    local running=() worker share=$(((frames + workers - 1) / workers))
    for worker in $(seq 0 $((workers - 1))); do
        local first=$((worker * share + 1)) last=$(((worker + 1) * share))
        [ "$last" -le "$frames" ] || last=$frames
        [ "$first" -le "$last" ] || continue
        (
            trap - EXIT
            out=$folder/out$worker
            ln -sfn "$folder/mnt$((worker % 2 + 1))/shots" "$out"
            render "$first" "$last" "$1" "$out"
        ) &
        running+=($!)
    done
    for pid in "${running[@]}"; do wait "$pid" || fail "a worker failed"; done
}

# REFERENCE-FOLDER FOLDER
compare() {
    local reference count=0
    for reference in "$1"/*.bmp; do
        cmp "$reference" "$2/$(basename "$reference")" || fail "$2 differs from the local render"
        count=$((count + 1))
    done
    [ "$count" = "$frames" ] || fail "$count frames were rendered on the local disk, not $frames"
    [ "$(find "$2/" -maxdepth 1 -name '*.bmp' | wc -l)" = "$frames" ] || fail "$2 has other frames as well"
}

for run in first second; do
    mkdir "$folder/$run"
done
render 1 "$frames" 0.2 "$folder/first"
render 1 "$frames" 0.7 "$folder/second"
diff -rq "$folder/first" "$folder/second" >/dev/null && fail "the two settings look the same"

mkdir "$folder/mnt1/shots"
render_on_mounts 0.2
for number in 1 2; do compare "$folder/first" "$folder/mnt$number/shots"; done
"$weft" tag add "$folder/mnt1" first-run >/dev/null
echo "render.sh: $frames frames by $workers workers are the same on both mounts and on the local disk"

render_on_mounts 0.7
for number in 1 2; do
    mount=$folder/mnt$number
    compare "$folder/second" "$mount/shots"
    compare "$folder/first" "$mount/.versions/first-run/shots"
    for reference in "$folder"/first/*.bmp; do
        name=$(basename "$reference")
        for run in first second; do
            found=no
            for version in "$mount/shots/.history/$name"/*.bmp; do
                if cmp -s "$folder/$run/$name" "$version"; then found=yes; fi
            done
            [ "$found" = yes ] || fail "the $run run of $name is not in $mount/shots/.history/$name"
        done
    done
done
echo "render.sh: the second run replaced the first, which is whole under its tag and in every frame's history"

#!/usr/bin/env bash
# A real renderer on a real cluster: POV-Ray renders an animation with 4 workers at once, two on each of two mounts.
#
# The cluster is of separate processes: 1 version and provider manager, 3 metadata and 3 data providers, 2 copies.
# Every frame must be the same, bit by bit, on both mounts and on the local disk. Then everything is rendered again with another
# setting, and the first run must still be there under its tag and under .history.
#
# usage: mount-tests/render.sh [FRAMES [WIDTH HEIGHT]]     (24 64 48 unless given)
# Needs povray and fuse3. Leaves nothing behind. WEFT_BIN_DIR names a folder with weft and weftd, else they are built.
source "$(dirname "$0")/lib.sh"

frames=${1:-24} width=${2:-64} height=${3:-48}
workers=4
need povray "apt install povray"
need fusermount3 "apt install fuse3"
find_binaries

manager=127.0.0.1:$(free_port)
export WEFT_IDENTITY=$folder/cluster/identity
"$weftd" init --dir "$folder/cluster" --listen "$manager" >/dev/null

start_one() { # NAME ROLE ADDRESS
    cat >"$folder/$1.toml" <<TOML
roles = ["$2"]
listen = "$3"
managers = ["$manager"]
identity = "cluster/identity"
store = "store-$1"
TOML
    setsid "$weftd" --config "$folder/$1.toml" >"$folder/$1.log" 2>&1 &
    servers+=($!)
}
start_one manager version-manager "$manager"
for number in 1 2 3; do
    start_one "metadata$number" metadata "127.0.0.1:$(free_port)"
    start_one "data$number" data "127.0.0.1:$(free_port)"
done
all_alive() {
    [ "$("$weft" status --json "weft://$manager" 2>/dev/null | grep -c '"state": "alive"')" = 6 ]
}
wait_for "six providers" all_alive

"$weft" volume create "weft://$manager/show" --copies 2 >/dev/null
for number in 1 2; do mount_volume show "mnt$number"; done

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

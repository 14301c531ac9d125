# What the scripts here share. $a and $b are two mounts of one volume, $work a new directory in it by its name below them, $local a
# folder on the local disk that goes when the script ends.
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C

[ $# = 2 ] || { echo "usage: $0 MOUNT MOUNT-OF-THE-SAME-VOLUME" >&2; exit 2; }
name=$(basename "$0" .sh)
a=$1/$name b=$2/$name
mkdir "$a" || exit 1
local=$(mktemp -d)
children=()
clean_up() {
    local status=$? child
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    rm -rf "$local"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
    echo "$name: $*" >&2
    exit 1
}

need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null || fail "$1 is missing (apt install $2)"
}

# FOLDER: all that a program can see of the tree in it, but for access and change times: a line for each file.
tree() {
    (
        cd "$1"
        # Of a directory neither size nor number of links says anything, of a file all.
        find . -mindepth 1 \( -type d -printf '%P %y %m %U %G - - %T@ %l\n' -o -printf '%P %y %m %U %G %s %n %T@ %l\n' \) | sort
        find . -type f -print0 | sort -z | xargs -0 -r sha256sum
        find . \( -type b -o -type c \) -print0 | sort -z | xargs -0 -r stat -c '%n %t:%T'
        # Which names are of one file.
        find . -type f -links +1 -printf '%i %P\n' | sort | awk '{ if ($1 == last) names = names " = " $2; else { print names; names = $2 } last = $1 } END { print names }' | sort
        find . -mindepth 1 -print0 | sort -z | xargs -0 -r getfattr -h -d -m '^(user|trusted|security)\.' -e hex 2>/dev/null
    )
}

# FOLDER FOLDER: says what differs.
same_tree() {
    tree "$1" >"$local/tree.1"
    tree "$2" >"$local/tree.2"
    diff "$local/tree.1" "$local/tree.2" >"$local/tree.diff" || fail "$1 and $2 differ: $(head -n 20 "$local/tree.diff")"
}

#!/usr/bin/env bash
# SQLite with a rollback journal, written by two mounts at once: what holds it together are fcntl locks across mounts. Needs sqlite3.
source "$(dirname "$0")/common.bash"
need sqlite3 sqlite3
writers=2 rows=50

for mode in delete truncate persist; do
    sqlite3 "$a/$mode.db" "PRAGMA journal_mode=$mode; CREATE TABLE t (writer, row, text); CREATE INDEX i ON t (text)" >/dev/null
    running=()
    for mount in "$a" "$b"; do
        for writer in $(seq $writers); do
            for row in $(seq $rows); do
                echo "BEGIN IMMEDIATE; INSERT INTO t VALUES ('$mount $writer', $row, hex(randomblob(200))); COMMIT;"
            done | sqlite3 -bail -cmd '.timeout 120000' -cmd "PRAGMA journal_mode=$mode" "$mount/$mode.db" >/dev/null &
            running+=($!)
        done
    done
    for child in "${running[@]}"; do wait "$child" || fail "a writer failed in journal mode $mode"; done
    for mount in "$a" "$b"; do
        answer=$(sqlite3 -cmd '.timeout 60000' "$mount/$mode.db" "PRAGMA integrity_check; SELECT count(*), count(DISTINCT writer || ' ' || row) FROM t")
        expected=$((2 * writers * rows))
        [ "$answer" = "ok"$'\n'"$expected|$expected" ] || fail "$mount/$mode.db has $answer, not $expected rows"
    done
done

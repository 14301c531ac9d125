#!/usr/bin/env bash
# SQLite on one mount: several writers at once in every journal mode, and writers that are killed. Needs sqlite3.
source "$(dirname "$0")/common.bash"
need sqlite3 sqlite3
writers=3 rows=40

# DATABASE WRITER: a transaction for each row.
write_rows() {
    for row in $(seq $rows); do echo "BEGIN IMMEDIATE; INSERT INTO t VALUES ($2, $row, hex(randomblob(200))); COMMIT;"; done |
        sqlite3 -bail -cmd '.timeout 60000' "$1" || return 1
}

check() { # DATABASE ROWS
    local answer
    answer=$(sqlite3 -cmd '.timeout 60000' "$1" 'PRAGMA integrity_check; SELECT count(*), count(DISTINCT writer * 1000 + row) FROM t')
    [ "$answer" = "ok"$'\n'"$2|$2" ] || fail "$1 has $answer, not $2 rows"
}

for mode in delete truncate persist wal; do
    database=$a/$mode.db
    sqlite3 "$database" "PRAGMA journal_mode=$mode; CREATE TABLE t (writer, row, text); CREATE INDEX i ON t (text)" >/dev/null
    running=()
    for writer in $(seq $writers); do
        write_rows "$database" "$writer" &
        running+=($!)
    done
    for child in "${running[@]}"; do wait "$child" || fail "a writer failed in journal mode $mode"; done
    check "$database" $((writers * rows))

    # A writer that is killed in a transaction leaves a hot journal or a WAL behind.
    rm -f "$local/ready"
    sqlite3 "$database" >/dev/null 2>&1 <<SQL &
PRAGMA cache_size=2;
BEGIN IMMEDIATE;
DELETE FROM t;
INSERT INTO t SELECT 9, value, hex(randomblob(2000)) FROM generate_series(1, 500);
.shell touch $local/ready; exec sleep 10
SQL
    victim=$!
    children+=($victim)
    while [ ! -e "$local/ready" ]; do kill -0 $victim || fail "the writer ended by itself"; sleep 0.1; done
    kill -9 $victim
    wait $victim 2>/dev/null || true
    check "$database" $((writers * rows))
done

# What the first mount has written and closed, the other one reads.
for mode in delete truncate persist wal; do check "$b/$mode.db" $((writers * rows)); done

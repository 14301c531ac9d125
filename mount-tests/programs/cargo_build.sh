#!/usr/bin/env bash
# cargo: builds a small crate inside the mount, without network, runs what it built on both mounts, and builds it again after an edit
# that the other mount made. Needs cargo and cc.
source "$(dirname "$0")/common.bash"
need cargo "rustup, see https://rustup.rs"
need cc build-essential
unset CARGO_TARGET_DIR

cargo new --quiet --vcs none --name weather "$a/weather" || fail "cargo new failed"
mkdir "$a/weather/tests"
cat >"$a/weather/src/lib.rs" <<'RUST'
pub mod season;
/// Degrees Fahrenheit.
pub fn fahrenheit(celsius: f64) -> f64 {
    celsius * 9.0 / 5.0 + 32.0
}
RUST
echo 'pub const NAME: &str = "spring";' >"$a/weather/src/season.rs"
cat >"$a/weather/src/main.rs" <<'RUST'
fn main() {
    println!("{} {}", weather::season::NAME, weather::fahrenheit(100.0));
}
RUST
cat >"$a/weather/tests/boiling.rs" <<'RUST'
#[test]
fn water_boils() {
    assert_eq!(weather::fahrenheit(100.0), 212.0);
}
RUST
build() { # MOUNT
    cargo build --quiet --offline --manifest-path "$1/weather/Cargo.toml" || fail "the build failed on $1"
}
says() { # MOUNT TEXT
    local said
    said=$("$1/weather/target/debug/weather") || fail "what was built does not run on $1"
    [ "$said" = "$2" ] || fail "what was built says '$said' on $1, not '$2'"
}
build "$a"
says "$a" "spring 212"
says "$b" "spring 212"
sleep 1 # cargo compares times
echo 'pub const NAME: &str = "summer";' >"$b/weather/src/season.rs"
build "$a"
says "$a" "summer 212"
says "$b" "summer 212"
cargo test --quiet --offline --manifest-path "$b/weather/Cargo.toml" >"$local/test" 2>&1 || fail "cargo test: $(tail -n 20 "$local/test")"
cargo build --offline --manifest-path "$b/weather/Cargo.toml" 2>&1 | grep -q Compiling && fail "nothing changed, and cargo builds again"
cargo clean --quiet --manifest-path "$a/weather/Cargo.toml" || fail "cargo clean failed"
[ ! -e "$b/weather/target/debug" ] || fail "cargo clean left something"

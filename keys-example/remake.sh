#!/bin/sh
# Makes the example keys again, byte for byte. Run it after removing a file or adding a name to
# proto/src/update/deny.rs. Nothing else belongs into this folder.
set -eu
cd "$(dirname "$0")/.."
cargo run --quiet -p cordon-ctl -- keys example --out keys-example

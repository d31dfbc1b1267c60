#!/usr/bin/env bash
# The demonstration behind `./dev demo`: starts a server, runs the notebook's
# numbers through it, then a real matrix, and stops it.
#
# usage: client/demo.sh BIN    the folder of halfstep and halfstep-server
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=$1
matrix=tests/data/glove_1000x100.npy
work=$(mktemp -d)
server_pid=""

bold="" plain=""
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' plain=$'\e[0m'
fi
say() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }

stop() {
  if [[ -n $server_pid ]]; then
    kill -TERM "$server_pid" 2>/dev/null || true
    wait "$server_pid" || printf 'the server ended with status %d\n' $? >&2
  fi
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

# Starts a server on a port that the system picks, and sets `address`.
start_server() {
  : >"$work/out"  # there before it is looked into, whoever runs first
  "$bin/halfstep-server" --listen=127.0.0.1:0 >"$work/out" 2>"$work/log" &
  server_pid=$!
  local tenths
  for ((tenths = 0; tenths < 150; ++tenths)); do
    address=$(sed -n 's/^listening on //p' "$work/out")
    if [[ -n $address ]]; then
      return
    fi
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  printf 'the server did not start:\n' >&2
  cat "$work/log" >&2
  return 1
}

# quantize_row SCHEME BITS: one line of the table.
quantize_row() {
  local reply
  reply=$("$bin/halfstep" quantize "$matrix" -o "$work/codes" --server "$address" \
    --scheme "$1" --bits "$2" --packing dense --error --json)
  jq -r --arg scheme "$1" --arg bits "$2" \
    '.error | [$bits, $scheme, .encoded_bytes, .mean_squared_error, .sqnr_db] | @tsv' \
    <<<"$reply" | {
    IFS=$'\t' read -r bits scheme bytes mse sqnr
    printf '%4d  %-10s  %9d  %12.6g  %8.2f\n' "$bits" "$scheme" "$bytes" "$mse" "$sqnr"
  }
}

say "Starting $bin/halfstep-server"
start_server
say "The notebook's numbers, from the server at $address"
"$bin/halfstep" demo --server "$address"

say "A real matrix over TCP: $matrix ($(stat -c %s "$matrix") bytes of float32 word vectors)"
printf '%4s  %-10s  %9s  %12s  %8s\n' bits scheme bytes MSE "SQNR/dB"
for bits in 8 4; do
  for scheme in symmetric asymmetric; do
    quantize_row "$scheme" "$bits"
  done
done

say "Stopping the server"

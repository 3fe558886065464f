#!/usr/bin/env bash
# Builds the image as it is and runs it as Kubernetes would: nobody's user, read-only, no capabilities, SIGTERM with calls in flight.
# Needs buildah, podman, runc and debootstrap (Debian has them), root, and a package index. It builds on a stand-in for the python image, made
# of Debian's own packages; on a real one where TUMA_TEST_PYTHON_IMAGE names one of the store at TUMA_TEST_IMAGE_STORE.
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=${TUMA_TEST_PYTHON_IMAGE:-localhost/tuma-python:test}
IMAGE=localhost/tuma:test
work=$(mktemp -d)
for tool in buildah podman runc debootstrap; do
  command -v "$tool" >/dev/null || { echo "image-test: $tool is missing; install Debian's buildah, podman, runc and debootstrap" >&2; exit 1; }
done
store=${TUMA_TEST_IMAGE_STORE:-$work}
cat >"$work/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=2048:2048"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
export CONTAINERS_CONF=$work/containers.conf
at=(--root "$store/store" --runroot "$store/run" --storage-driver overlay)
cleanup() {
  for name in tuma-worker tuma-gateway tuma-sandbox; do podman "${at[@]}" rm --force --time 0 "$name" >/dev/null 2>&1 || true; done
  [ -z "${server:-}" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
  rm -rf "$work" 2>/dev/null || true
}
trap cleanup EXIT

say() { echo "image-test: $*"; }
run() { # NAME ARGUMENTS...: the image as the chart runs it
  local name=$1; shift
  podman "${at[@]}" run --detach --name "$name" --network host --read-only --tmpfs /tmp --cap-drop all \
    --security-opt no-new-privileges --memory 384m --env-file "$work/env" "$IMAGE" "$@" >/dev/null
}
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
until_ok() { # URL
  for _ in $(seq 150); do curl --silent --fail --output /dev/null "$1" && return 0; sleep 0.2; done
  say "$1 never answered"; podman "${at[@]}" logs tuma-worker >&2 || true; return 1
}

# What of the python image the Dockerfile uses: Debian, and a `python` that makes environments. The certificates and the pip settings are this
# machine's, since its package index is.
stand_in() {
  say "making $BASE of Debian's packages"
  debootstrap --variant=minbase --include=ca-certificates,python-is-python3,python3-venv bookworm "$work/rootfs" \
    ${TUMA_TEST_DEBIAN_MIRROR:-} >"$work/base.log" 2>&1 || { tail -30 "$work/base.log" >&2; exit 1; }
  rm -rf "$work/rootfs/var/cache/apt" "$work/rootfs/var/lib/apt/lists"
  cp /etc/ssl/certs/ca-certificates.crt "$work/rootfs/etc/ssl/certs/"
  [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$work/rootfs/etc/"
  local container
  container=$(buildah "${at[@]}" from scratch)
  buildah "${at[@]}" add --quiet "$container" "$work/rootfs" / >/dev/null
  buildah "${at[@]}" commit --quiet --rm "$container" "$BASE" >/dev/null
  rm -rf "$work/rootfs"
}
[ -n "${TUMA_TEST_PYTHON_IMAGE:-}" ] || podman "${at[@]}" image exists "$BASE" || stand_in

say "building on $BASE"
buildah "${at[@]}" bud --isolation chroot --layers --pull-never --format docker --build-arg "PYTHON_IMAGE=$BASE" --tag "$IMAGE" . >"$work/build.log" 2>&1 \
  || { tail -30 "$work/build.log" >&2; exit 1; }
size() { podman "${at[@]}" image inspect --format '{{.Size}}' "$1"; }
whole=$(size "$IMAGE") base=$(size "$BASE")
say "size: $whole bytes, its base $base; ours beside its base: $(((whole - base + 500000) / 1000000)) MB"
podman "${at[@]}" run --rm --network none --entrypoint python "$IMAGE" -c '
import os, shutil
assert os.getuid() == 10001, os.getuid()
assert not os.access("/opt/tuma/bin", os.W_OK), "the code must not be writable"
assert not shutil.which("gcc"), "a compiler is there"
import json
from importlib.metadata import distributions
with open("/opt/tuma/sbom.cdx.json") as bill:
    listed = {part["name"].lower(): part["version"] for part in json.load(bill)["components"]}
there = {dist.metadata["Name"].lower(): dist.version for dist in distributions() if "/opt/tuma/" in str(dist.locate_file(""))}
assert listed == there, (listed.items() ^ there.items())
print("image-test:", len(listed), "packages, and the bill of materials lists them")
'

redis=$(free) ops=$(free) sandbox=$(free) gateway=$(free)
.venv/bin/python -c '
import signal, sys
from tests.support import servers
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
server = servers.start(port=int(sys.argv[1]))
try:
    print("up", flush=True)
    signal.pause()
finally:
    server.stop()
' "$redis" >"$work/server.log" 2>&1 &
server=$!
touch "$work/server.log"
until grep -q up "$work/server.log"; do sleep 0.1; done
cat >"$work/env" <<ENV
TUMA_REDIS_URL=redis://127.0.0.1:$redis/0
TUMA_OPS_PORT=$ops
TUMA_OPS_HOST=127.0.0.1
TUMA_GATEWAY_HOST=127.0.0.1
TUMA_ACCOUNTS={"main": {"provider": "lisoloo", "environment": "sandbox", "cold_start": "burst", "sender_id": "KITOKO", "batch_max": 1, "base_url": "http://127.0.0.1:$sandbox/lisoloo", "api_key": "sk_test_Sandbox0000000000000000000000000"}}
ENV
run tuma-sandbox sandbox --port "$sandbox" --config '{"latency_ms": 3000}'
until_ok "http://127.0.0.1:$sandbox/_sandbox/ledger"
run tuma-gateway gateway --port "$gateway"
until_ok "http://127.0.0.1:$gateway/readyz"
run tuma-worker worker --processes 1 --threads 4 --shutdown-timeout 20
until_ok "http://127.0.0.1:$ops/readyz"
to=()
for number in $(seq -w 24); do to+=(--to "+2439900000$number"); done  # six rounds: a slow machine may be past the first by SIGTERM
podman "${at[@]}" run --rm --network host --read-only --tmpfs /tmp --env-file "$work/env" "$IMAGE" \
  send --account main "${to[@]}" --message "24 calls, for four threads" >/dev/null
in_flight() { .venv/bin/python -c '
import sys; from redis import Redis; print(Redis(port=int(sys.argv[1])).zcard("tuma:{main}:send:leases"))' "$redis"; }
for _ in $(seq 50); do [ "$(in_flight)" -gt 0 ] && break; sleep 0.1; done
[ "$(in_flight)" -gt 0 ] || { say "no call was ever in flight"; podman "${at[@]}" logs tuma-worker >&2; exit 1; }
before=$(date +%s%N)
podman "${at[@]}" stop --time 30 tuma-worker >/dev/null
took=$((($(date +%s%N) - before) / 1000000))
status=$(podman "${at[@]}" inspect --format '{{.State.ExitCode}}' tuma-worker)
left=$(in_flight)
say "SIGTERM with calls of 3 s in flight: ended after $took ms, status $status, $left calls left without an end"
[ "$status" = 0 ] && [ "$left" = 0 ] && [ "$took" -lt 20000 ] || { podman "${at[@]}" logs tuma-worker >&2; exit 1; }
podman "${at[@]}" rm tuma-worker >/dev/null
run tuma-worker worker --processes 1 --threads 4
for _ in $(seq 300); do
  made=$(podman "${at[@]}" logs tuma-worker 2>&1 | grep -c delivery.settled || true)
  waiting=$(.venv/bin/python -c 'import sys; from redis import Redis; r = Redis(port=int(sys.argv[1])); print(r.zcard("tuma:{main}:send:entries") + r.zcard("tuma:{main}:send:leases"))' "$redis")
  [ "$waiting" = 0 ] && break; sleep 0.2
done
taken=$(curl --silent "http://127.0.0.1:$sandbox/_sandbox/ledger" | .venv/bin/python -c 'import json, sys; books = json.load(sys.stdin); print(books["recipients"], books["duplicates"])')
say "the next worker made $made calls; the provider took (and took twice): $taken"
[ "$waiting" = 0 ] && [ "$made" -gt 0 ] && [ "$taken" = "24 0" ] || { podman "${at[@]}" logs tuma-worker >&2; exit 1; }
podman "${at[@]}" stop --time 30 tuma-worker >/dev/null
podman "${at[@]}" rm tuma-worker >/dev/null

# As long as a worker under load may take to hear of SIGTERM, and much longer than it then waits.
curl --silent --fail --output /dev/null --json '{"latency_ms": 15000}' "http://127.0.0.1:$sandbox/_sandbox/config"
run tuma-worker worker --processes 1 --threads 4 --shutdown-timeout 1
podman "${at[@]}" run --rm --network host --read-only --tmpfs /tmp --env-file "$work/env" "$IMAGE" \
  send --account main "${to[@]:0:8}" --message "4 calls, of which none is waited for" >/dev/null
for _ in $(seq 100); do [ "$(in_flight)" -gt 0 ] && break; sleep 0.1; done
podman "${at[@]}" stop --time 30 tuma-worker >/dev/null
left=$(in_flight)
told=$(podman "${at[@]}" logs tuma-worker 2>&1 | grep -c call.abandoned || true)
say "SIGTERM with 1 s for calls of 15 s: $left calls left without an end, $told of them told in the log"
[ "$left" -gt 0 ] && [ "$told" = "$left" ] || { podman "${at[@]}" logs tuma-worker >&2; exit 1; }

#!/bin/bash
# Cuts the network between two nodes of a Ray cluster for 20 s in the middle of a run. By hand; needs `ip`, `nsenter` and
# user namespaces, no root:
#
#   PYTHON=/path/to/venv/bin/python tests/cluster/network_cut.sh FILM
#
# The coordinator and one node live in one network namespace, the second node in another. What is to be seen: during the
# cut only the near worker goes on; the far one then goes on too, the run ends with 0 and without a warning, and the sums
# of the file and of that of one process are the same. Give a film that takes two workers about half a minute.
set -euo pipefail
if [ -z "${FASTRESTORE_INSIDE:-}" ]; then
    exec env FASTRESTORE_INSIDE=1 unshare --user --net --map-root-user "$0" "$@"
fi
film=$1 python=${PYTHON:-python} folder=$(mktemp -d)
ray="$(dirname "$python")/ray" settings=(--to x1 --fps 60 --preset ultrafast --progress none)
export RAY_USAGE_STATS_ENABLED=0
leave() { "$ray" stop --force > /dev/null 2>&1 || true; kill "$holder" 2> /dev/null || true; rm -rf "$folder"; }

"$python" -m fastrestore.cli convert "$film" -o "$folder/alone.mkv" "${settings[@]}" 2> /dev/null
ip link set lo up
unshare --net sleep 3600 &
holder=$!
trap leave EXIT
sleep 1
far() { nsenter --target "$holder" --net "$@"; }
ip link add near type veth peer name far
ip link set far netns "$holder"
ip address add 10.77.0.1/24 dev near && ip link set near up
far ip address add 10.77.0.2/24 dev far && far ip link set far up && far ip link set lo up
"$ray" start --head --node-ip-address=10.77.0.1 --port=6379 --num-cpus=1 --include-dashboard=false \
    --temp-dir="$folder/ray" > "$folder/head.log" 2>&1
far "$ray" start --address=10.77.0.1:6379 --node-ip-address=10.77.0.2 --num-cpus=1 > "$folder/node.log" 2>&1

"$python" -m fastrestore.cli convert "$film" -o "$folder/out.mkv" "${settings[@]}" --ray 10.77.0.1:6379 &
run=$!
until compgen -G "$folder/out.mkv.fastrestore/0*.nut" > /dev/null; do sleep 0.1; done
seen() { echo "$1: $(ls "$folder/out.mkv.fastrestore" | grep -c 'nut$') segments;" $(ls "$folder/out.mkv.fastrestore" | grep part); }
seen "before the cut"
ip link set near down
sleep 20
seen "before its end"
ip link set near up
sleep 3
seen "after it"
wait "$run"
sha256sum "$folder/alone.mkv" "$folder/out.mkv"
cmp "$folder/alone.mkv" "$folder/out.mkv"

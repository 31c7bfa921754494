#!/usr/bin/env bash
# Judge a changed cluster file: simulate the old and the new one, and compare them.
#
#   gate.sh BASE.yaml HEAD.yaml [OPTION OF orchestrate compare]…
#
# The comparison goes to stdout as text for a comment. Exit codes: 0 passed; 4 breached; 5 undecided; others as of orchestrate.
# REPEAT sets the trials of each side (10), SIMULATE more options of the simulation, such as '--tasks 64 --task-seconds 30'.
set -euo pipefail

base=$1 head=$2
shift 2
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export ORCHESTRATE_HOME=$home

for side in base head; do
  # shellcheck disable=SC2086  # SIMULATE is a list of options
  orchestrate simulate --cluster "${!side}" --repeat "${REPEAT:-10}" --name "$side" ${SIMULATE:-} --json "$home/$side.json" >&2
done
id_of() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["sweep_id"])' "$home/$1.json"; }
orchestrate compare "$(id_of base)" "$(id_of head)" "$@"

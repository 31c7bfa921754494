#!/bin/bash
# The lease of a machine, run as root: power the machine off once nobody has renewed it for LEASE_S seconds.
#   lease.sh head FILE LEASE_S       whoever touches FILE renews it
#   lease.sh worker HEAD_IP LEASE_S  the head renews it, as long as its GCS answers
# EC2 terminates a machine that powers itself off (InstanceInitiatedShutdownBehavior), without any call.
kind=$1 what=$2 lease=$3 every=${4:-5}
renewed=$(date +%s)
while sleep "$every"; do
  if [ "$kind" = head ]; then
    touched=$(stat -c %Y "$what" 2>/dev/null || echo 0)
    [ "$touched" -gt "$renewed" ] && renewed=$touched
  elif timeout 5 bash -c "</dev/tcp/$what/6379" 2>/dev/null; then
    renewed=$(date +%s)
  fi
  if [ $(( $(date +%s) - renewed )) -ge "$lease" ]; then
    echo "the lease of $lease s has run out" >> /var/log/orchestrate-lease.log
    shutdown -P now
  fi
done

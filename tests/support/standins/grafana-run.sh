#!/bin/sh
# In the place of Grafana: reads the settings, the provisioning and the dashboards that Grafana would read, keeps the
# first password as its database does, and serves /api/health to anybody and /api/search to admin.
set -eu
data=/var/lib/grafana

[ -w "$data" ] || { echo "GF_PATHS_DATA='$data' is not writable." >&2; exit 1; }
[ -s "$GF_SECURITY_ADMIN_PASSWORD__FILE" ] || { echo "error: no admin password" >&2; exit 1; }
grep -q 'uid: orchestrate-prometheus' /etc/grafana/provisioning/datasources/*.yml
[ -s "$data/password" ] || cat "$GF_SECURITY_ADMIN_PASSWORD__FILE" >"$data/password"

mkdir -p /tmp/www/api
echo '{"database": "ok"}' >/tmp/www/api/health
dashboards=$(sed -n 's/^ *path: *//p' /etc/grafana/provisioning/dashboards/*.yml)
uids=$(for file in "$dashboards"/*.json; do
  sed -n 's/^  "uid": "\([^"]*\)".*/{"uid": "\1"}/p' "$file" | head -n 1
done | paste -s -d , -)
echo "[$uids]" >/tmp/www/api/search
echo "/api/search:admin:$(cat "$data/password")" >/tmp/httpd.conf

httpd -f -p "$GF_SERVER_HTTP_ADDR:$GF_SERVER_HTTP_PORT" -h /tmp/www -c /tmp/httpd.conf &
echo $! >/tmp/httpd.pid
trap 'kill $!' TERM
wait

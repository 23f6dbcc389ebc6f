# Makes a Debian 13 machine the database. Runs as root at each machine's first
# boot, after the lines that set STACK, GROUP, VOLUME, SECRET, ZONE, NAME,
# CONNECTIONS and AWS_DEFAULT_REGION. The data lives on a volume of its own: a new machine
# takes it over from the old one.
# shellcheck shell=bash disable=SC2153,SC2154
set -euo pipefail

instance=$(cloud-init query instance_id)
address=$(hostname -I | cut -d' ' -f1)

signal() {
  aws cloudformation signal-resource --stack-name "$STACK" --logical-resource-id "$GROUP" \
    --unique-id "$instance" --status "$1" || true # the stack waits only when it makes the group
}
trap 'signal FAILURE' ERR

export DEBIAN_FRONTEND=noninteractive
for attempt in 1 2 3 4 5; do # the way out may be younger than this machine
  apt-get -q update && break
  sleep $((attempt * 10))
done
apt-get -q install -y --no-install-recommends awscli ca-certificates jq openssl postgresql-common
# The volume holds the cluster; the package shall not make one.
mkdir -p /etc/postgresql-common/createcluster.d
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/insighthub.conf
apt-get -q install -y --no-install-recommends postgresql-17 postgresql-17-timescaledb unattended-upgrades

# The volume is free once the machine before this one is gone.
device=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${VOLUME/-/}
for attempt in $(seq 60); do
  aws ec2 attach-volume --volume-id "$VOLUME" --instance-id "$instance" --device /dev/sdf >/dev/null && break
  sleep 10
done
for attempt in $(seq 30); do
  [ -b "$device" ] && break
  sleep 2
done
data=/var/lib/insighthub
blkid "$device" >/dev/null || mkfs.ext4 -q "$device" # only an empty volume
mkdir -p "$data"
echo "$device $data ext4 defaults,noatime,nofail 0 2" >>/etc/fstab
mount "$data"

secret=$(aws secretsmanager get-secret-value --secret-id "$SECRET" --query SecretString --output text)
field() { jq -r --arg name "$1" '.[$name]' <<<"$secret"; }
user=$(field username) database=$(field dbname) password=$(field password)

cluster=$data/17/main
if [ ! -s "$cluster/PG_VERSION" ]; then
  install -d -o postgres -g postgres -m 700 "$data/17" "$cluster"
  runuser -u postgres -- /usr/lib/postgresql/17/bin/initdb -D "$cluster" -E UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 >/dev/null
  echo "include 'insighthub.conf'" >>"$cluster/postgresql.conf"
  runuser -u postgres -- openssl req -new -x509 -nodes -days 3650 -subj "/CN=$NAME" \
    -keyout "$cluster/server.key" -out "$cluster/server.crt" 2>/dev/null
  chmod 600 "$cluster/server.key"
fi

memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
cat >"$cluster/insighthub.conf" <<CONF
listen_addresses = '*'
ssl = on
password_encryption = 'scram-sha-256'
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = 'off'
shared_buffers = $((memory / 4))MB
effective_cache_size = $((memory * 3 / 4))MB
maintenance_work_mem = $((memory / 16))MB
max_connections = $CONNECTIONS
max_wal_size = 4GB
checkpoint_completion_target = 0.9
wal_compression = lz4
random_page_cost = 1.1
jit = off
idle_in_transaction_session_timeout = 60s
CONF
cat >"$cluster/pg_hba.conf" <<CONF
local all postgres peer
hostssl $database $user 0.0.0.0/0 scram-sha-256
CONF
chown postgres:postgres "$cluster"/*.conf

cat >/etc/systemd/system/insighthub-database.service <<UNIT
[Unit]
Description=TimescaleDB of IoT InsightHub
After=network-online.target
RequiresMountsFor=$data
[Service]
Type=notify
User=postgres
RuntimeDirectory=postgresql
ExecStart=/usr/lib/postgresql/17/bin/postgres -D $cluster
ExecReload=/bin/kill -HUP \$MAINPID
KillSignal=SIGINT
TimeoutSec=300
OOMScoreAdjust=-900
Restart=on-failure
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now insighthub-database.service

sql() { runuser -u postgres -- psql -v ON_ERROR_STOP=1 -Atq -h /var/run/postgresql "$@"; }
# The password travels in the environment, out of sight of the process list.
DB_USER=$user DB_PASSWORD=$password sql <<'SQL'
\getenv user DB_USER
\getenv password DB_PASSWORD
SELECT format('CREATE ROLE %I LOGIN', :'user') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
SELECT format('ALTER ROLE %I PASSWORD %L', :'user', :'password') \gexec
SQL
[ -n "$(sql -c "SELECT 1 FROM pg_database WHERE datname = '$database'")" ] || sql -c "CREATE DATABASE \"$database\" OWNER \"$user\""
sql -d "$database" -c 'CREATE EXTENSION IF NOT EXISTS timescaledb'

aws route53 change-resource-record-sets --hosted-zone-id "$ZONE" --change-batch "$(jq -n --arg name "$NAME" --arg address "$address" \
  '{Changes: [{Action: "UPSERT", ResourceRecordSet: {Name: $name, Type: "A", TTL: 10, ResourceRecords: [{Value: $address}]}}]}')" >/dev/null
signal SUCCESS

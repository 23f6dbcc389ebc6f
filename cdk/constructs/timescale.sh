# Makes a Debian 13 machine the database. Runs as root at each machine's first
# boot, after the lines that set STACK, GROUP, VOLUME, SECRET, ZONE, NAME,
# CONNECTIONS and AWS_DEFAULT_REGION. The data lives on a volume of its own: a new machine
# takes it over from the old one.
# shellcheck shell=bash disable=SC2153,SC2154
set -euo pipefail

# signal tells the stack how this machine fares. It needs only Python, which the image has for
# cloud-init: what fails first is often the installation of everything else.
signal() {
  python3 - "$1" <<'PYTHON' || true # the stack waits only when it makes the group
import datetime, hashlib, hmac, json, os, sys, urllib.parse, urllib.request
env = os.environ
imds = env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254") + "/latest/"
def http(url, headers, method="GET", body=None):
    return urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=20).read().decode()
token = {"X-aws-ec2-metadata-token": http(imds + "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, "PUT")}
roles = imds + "meta-data/iam/security-credentials/"
keys = json.loads(http(roles + http(roles, token).split()[0], token))
region = env["AWS_DEFAULT_REGION"]
url = env.get("AWS_ENDPOINT_URL_CLOUDFORMATION", "https://cloudformation.%s.amazonaws.com" % region) + "/"
body = urllib.parse.urlencode({"Action": "SignalResource", "Version": "2010-05-15", "StackName": env["STACK"], "Status": sys.argv[1],
    "LogicalResourceId": env["GROUP"], "UniqueId": http(imds + "meta-data/instance-id", token)}).encode()
now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
scope = "%s/%s/cloudformation/aws4_request" % (now[:8], region)
headers = {"content-type": "application/x-www-form-urlencoded", "host": urllib.parse.urlsplit(url).netloc, "x-amz-date": now, "x-amz-security-token": keys["Token"]}
names = ";".join(sorted(headers))
sha = lambda b: hashlib.sha256(b).hexdigest()
mac = lambda key, text: hmac.new(key, text.encode(), hashlib.sha256).digest()
request = "POST\n/\n\n%s\n%s\n%s" % ("".join("%s:%s\n" % (n, headers[n]) for n in sorted(headers)), names, sha(body))
key = ("AWS4" + keys["SecretAccessKey"]).encode()
for part in scope.split("/"):
    key = mac(key, part)
signature = mac(key, "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (now, scope, sha(request.encode()))).hex()
headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (keys["AccessKeyId"], scope, names, signature)
http(url, headers, "POST", body)
PYTHON
}
# Whatever ends the script early is reported at once; the stack would wait for 20 minutes.
# Not only ERR: an unset variable, a failed command substitution or an exit end it too.
trap 'code=$?; [ "$code" = 0 ] || { echo "insighthub: the script failed with $code" >&2; signal FAILURE; }' EXIT

fail() {
  echo "insighthub: $*" >&2
  exit 1
}

# try ATTEMPTS SECONDS COMMAND… repeats a command that fails.
try() {
  local attempts=$1 pause=$2 attempt
  shift 2
  for attempt in $(seq "$attempts"); do
    "$@" && return
    sleep "$pause"
  done
  fail "gave up after $attempts attempts: $*"
}

# format makes a file system on a volume that never held one. A volume whose content is
# unreadable, ambiguous or only damaged is left alone, and so is an empty one in place of the
# volume that the secret's tag says the database is on.
format() {
  local device=$1 code=0 known
  blkid -p "$device" >/dev/null || code=$? # 0: something; 2: nothing; others: unreadable or ambiguous
  [ "$code" = 0 ] && return
  [ "$code" = 2 ] || fail "blkid of $device ended with $code: repair the volume by hand, it is not formatted"
  [ "$(head -c 16777216 "$device" | tr -d '\000' | head -c 1 | wc -c)" = 0 ] ||
    fail "$device has no file system and is not empty: it is not formatted"
  known=$(aws secretsmanager describe-secret --secret-id "$SECRET" --query "Tags[?Key=='insighthub:volume'].Value" --output text)
  if [ -n "$known" ] && [ "$known" != None ]; then
    fail "$VOLUME is empty, but the database is on $known: restore it from a snapshot, or remove the tag insighthub:volume of the secret to start with an empty database"
  fi
  mkfs.ext4 -q "$device"
}

instance=$(cloud-init query instance_id)
address=$(hostname -I | cut -d' ' -f1)

export DEBIAN_FRONTEND=noninteractive
try 6 20 apt-get -q update # the way out may be younger than this machine
apt-get -q install -y --no-install-recommends awscli ca-certificates jq openssl postgresql-common
# The volume holds the cluster; the package shall not make one.
mkdir -p /etc/postgresql-common/createcluster.d
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/insighthub.conf
apt-get -q install -y --no-install-recommends postgresql-17 postgresql-17-timescaledb unattended-upgrades

# The volume is free once the machine before this one is gone.
device=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${VOLUME/-/}
try 60 10 aws ec2 attach-volume --volume-id "$VOLUME" --instance-id "$instance" --device /dev/sdf >/dev/null
try 30 2 test -b "$device"
data=/var/lib/insighthub
format "$device"
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
fi

# The server's certificate: of an authority that lives on the volume, made again each month
# and whenever the service starts. Clients verify it and its name by the authority's.
cat >/usr/local/sbin/insighthub-certificate <<'SCRIPT'
#!/bin/bash
# insighthub-certificate FOLDER CLUSTER NAME
set -euo pipefail
umask 077
folder=$1 cluster=$2 name=$3
mkdir -p "$folder"
if [ ! -s "$folder/ca.crt" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 7300 \
    -subj "/CN=Database authority of $name" -addext basicConstraints=critical,CA:TRUE,pathlen:0 \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$folder/ca.key" -out "$folder/ca.new" 2>/dev/null
  mv "$folder/ca.new" "$folder/ca.crt"
fi
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
  -keyout "$folder/server.key" -out "$folder/server.csr" 2>/dev/null
openssl x509 -req -in "$folder/server.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial -days 397 \
  -extfile <(printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' "$name") \
  -out "$folder/server.crt" 2>/dev/null
for file in server.key server.crt; do
  install -o "${OWNER:-postgres}" -g "${OWNER:-postgres}" -m 600 "$folder/$file" "$cluster/$file"
done
SCRIPT
chmod 755 /usr/local/sbin/insighthub-certificate
tls=$data/tls
/usr/local/sbin/insighthub-certificate "$tls" "$cluster" "$NAME"
# The functions' secrets get the authority's certificate from this one, by migrate.
updated=$(jq --arg ca "$(cat "$tls/ca.crt")" '. + {ca: $ca}' <<<"$secret")
if [ "$(field ca)" != "$(jq -r .ca <<<"$updated")" ]; then
  (umask 077 && cat >/run/insighthub-secret <<<"$updated") # not on a command line, which others could see
  aws secretsmanager put-secret-value --secret-id "$SECRET" --secret-string file:///run/insighthub-secret >/dev/null
  rm /run/insighthub-secret
fi

memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
cat >"$cluster/insighthub.conf" <<CONF
listen_addresses = '*'
ssl = on
ssl_min_protocol_version = 'TLSv1.3'
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
hostssl $database "/^${user}(_[a-z_]+)?\$" 0.0.0.0/0 scram-sha-256
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
ExecStartPre=+/usr/local/sbin/insighthub-certificate $tls $cluster $NAME
ExecStart=/usr/lib/postgresql/17/bin/postgres -D $cluster
ExecReload=/bin/kill -HUP \$MAINPID
KillSignal=SIGINT
TimeoutSec=300
OOMScoreAdjust=-900
Restart=on-failure
[Install]
WantedBy=multi-user.target
UNIT
cat >/etc/systemd/system/insighthub-certificate.service <<UNIT
[Unit]
Description=Renews the certificate of the database
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/insighthub-certificate $tls $cluster $NAME
ExecStart=/bin/systemctl reload insighthub-database.service
UNIT
cat >/etc/systemd/system/insighthub-certificate.timer <<UNIT
[Timer]
OnCalendar=monthly
Persistent=true
[Install]
WantedBy=timers.target
UNIT
systemctl daemon-reload
systemctl enable --now insighthub-database.service insighthub-certificate.timer

sql() { runuser -u postgres -- psql -v ON_ERROR_STOP=1 -Atq -h /var/run/postgresql "$@"; }
# The password travels in the environment, out of sight of the process list.
DB_USER=$user DB_PASSWORD=$password sql <<'SQL'
\getenv user DB_USER
\getenv password DB_PASSWORD
SELECT format('CREATE ROLE %I LOGIN', :'user') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
-- It creates the functions' roles.
SELECT format('ALTER ROLE %I CREATEROLE PASSWORD %L', :'user', :'password') \gexec
SQL
[ -n "$(sql -c "SELECT 1 FROM pg_database WHERE datname = '$database'")" ] || sql -c "CREATE DATABASE \"$database\" OWNER \"$user\""
sql -d "$database" -c 'CREATE EXTENSION IF NOT EXISTS timescaledb'
# What only a superuser can close: functions with which any role could fill the disk or hold
# the platform's locks (lib/timescale/closed.sql). The owner passes on those for locks.
sql -d "$database" <<'SQL'
DO $closed$
DECLARE
	closed regprocedure;
BEGIN
	FOR closed IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
		AND proname ~ '^(lo_.*|lowrite|loread|pg_(try_)?advisory_.*|pg_logical_emit_message)$'
	LOOP
		EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', closed);
	END LOOP;
END
$closed$;
SQL
DB_USER=$user sql -d "$database" <<'SQL'
\getenv user DB_USER
SELECT format('GRANT EXECUTE ON FUNCTION %s TO %I WITH GRANT OPTION', oid::regprocedure, :'user') FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_' \gexec
SQL

aws route53 change-resource-record-sets --hosted-zone-id "$ZONE" --change-batch "$(jq -n --arg name "$NAME" --arg address "$address" \
  '{Changes: [{Action: "UPSERT", ResourceRecordSet: {Name: $name, Type: "A", TTL: 10, ResourceRecords: [{Value: $address}]}}]}')" >/dev/null
aws secretsmanager tag-resource --secret-id "$SECRET" --tags "Key=insighthub:volume,Value=$VOLUME"

# What CloudWatch cannot see from outside, each minute.
cat >/usr/local/sbin/insighthub-metrics <<METRICS
#!/bin/bash
set -u
used() { df --output=pcent "\$1" | tail -1 | tr -dc 0-9; }
put() { echo "{\"MetricName\":\"\$1\",\"Value\":\$2,\"Dimensions\":[{\"Name\":\"Stage\",\"Value\":\"$STAGE\"}]}"; }
expires=\$(date -d "\$(openssl x509 -noout -enddate -in $cluster/server.crt | cut -d= -f2)" +%s)
connections=\$(runuser -u postgres -- psql -Atq -h /var/run/postgresql -c "SELECT 100 * count(*) / current_setting('max_connections')::int FROM pg_stat_activity WHERE backend_type = 'client backend'")
list=\$(put VolumeUsedPercent "\$(used $data)"),\$(put RootUsedPercent "\$(used /)")
list+=,\$(put MemoryUsedPercent "\$(awk '/MemTotal/ {t=\$2} /MemAvailable/ {a=\$2} END {print int(100*(t-a)/t)}' /proc/meminfo)")
list+=,\$(put CertificateDays \$(((expires - \$(date +%s)) / 86400)))
[ -z "\$connections" ] || list+=,\$(put Connections "\$connections")
exec aws cloudwatch put-metric-data --region $AWS_DEFAULT_REGION --namespace InsightHub --metric-data "[\$list]"
METRICS
chmod 755 /usr/local/sbin/insighthub-metrics
cat >/etc/systemd/system/insighthub-metrics.service <<'UNIT'
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/insighthub-metrics
UNIT
cat >/etc/systemd/system/insighthub-metrics.timer <<'UNIT'
[Timer]
OnBootSec=30
OnUnitActiveSec=60
AccuracySec=1
[Install]
WantedBy=timers.target
UNIT
systemctl enable --now insighthub-metrics.timer
signal SUCCESS

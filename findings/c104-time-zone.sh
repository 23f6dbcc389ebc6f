#!/bin/bash
# c104 2.2.1 (IEC 60870-5-104 in Python): the time zone of a timestamp is dropped, not
# converted: readings arrive hours off.
#
# Python's datetime with a zone is an instant, and the library's examples pass one. It sends
# the digits of the local clock: noon in Berlin, which is 10:00 UTC, is sent and received
# as 12:00 without a zone, like noon in New York and noon UTC. Who holds received times to
# be UTC, as stations commonly send them, has readings two hours ahead or four behind.
#
# What to do: pass when.astimezone(timezone.utc), and attach UTC to what is received.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install c104==2.2.1
cat > "$folder/noon.py" <<'E'
import datetime
import threading

import c104

received, arrived = [], threading.Event()


def on_receive(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
    received.append(point.info.recorded_at)
    arrived.set()
    return c104.ResponseState.SUCCESS


server = c104.Server(ip="127.0.0.1", port=24471, tick_rate_ms=50)
meter = server.add_station(common_address=47).add_point(io_address=11, type=c104.Type.M_ME_TF_1)
client = c104.Client(tick_rate_ms=50)
connection = client.add_connection(ip="127.0.0.1", port=24471, init=c104.Init.NONE)
copy = connection.add_station(common_address=47).add_point(io_address=11, type=c104.Type.M_ME_TF_1)
copy.on_receive(callable=on_receive)
server.start()
client.start()
connection.connect()
pause = threading.Event()
for _ in range(400):
    if connection.state == c104.ConnectionState.OPEN:
        break
    if connection.is_connected:
        connection.unmute()
    pause.wait(0.05)
for hours in (0, 2, -4):
    noon = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=hours)))
    arrived.clear()
    meter.info = c104.ShortInfo(actual=20.0 + hours, recorded_at=noon)
    assert meter.transmit(cause=c104.Cot.SPONTANEOUS)
    assert arrived.wait(20)
    print(f"sent {noon.isoformat()}, received {received[-1].isoformat()}")
client.stop()
server.stop()
assert received == [datetime.datetime(2026, 6, 1, 12)] * 3
E
timeout 120 "$folder/venv/bin/python" "$folder/noon.py"
# Output seen:
#   sent 2026-06-01T12:00:00+00:00, received 2026-06-01T12:00:00
#   sent 2026-06-01T12:00:00+02:00, received 2026-06-01T12:00:00
#   sent 2026-06-01T12:00:00-04:00, received 2026-06-01T12:00:00

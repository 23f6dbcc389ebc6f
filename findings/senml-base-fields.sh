#!/bin/bash
# senml 0.1.0 (Python): the readings of the second device of a pack are given to the first.
#
# In SenML (RFC 8428, 4.1 and 4.6) a base field may stand in any record and holds from
# there on, which is how a gateway sends several devices in one pack. The library takes the
# base fields of the first record only, and drops those of all others without an error:
# name, time and unit of what follows are wrong. It writes a pack back without them.
#
# What to do: resolve the records of a pack (name, time, unit, value in full) before this
# library sees them, or send a pack for each device.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install senml==0.1.0
cat > "$folder/pack.py" <<'E'
from senml.senml import SenMLDocument

PACK = [
    {"bn": "urn:dev:mac:00005efffe000001/", "bt": 1700000000, "n": "temperature", "u": "Cel", "v": 21.5},
    {"bn": "urn:dev:mac:00005efffe000002/", "bt": 1700000060, "n": "temperature", "u": "Cel", "v": 84.0},
    {"n": "humidity", "u": "%RH", "v": 40.0},
]
document = SenMLDocument.from_json(PACK)
found = [(m.name, m.time, m.value) for m in (m.to_absolute(document.base) for m in document.measurements)]
for line in found:
    print(line)
assert found == [
    ("urn:dev:mac:00005efffe000001/temperature", 1700000000.0, 21.5),
    ("urn:dev:mac:00005efffe000001/temperature", 1700000000.0, 84.0),  # of ...02, at ...60
    ("urn:dev:mac:00005efffe000001/humidity", 1700000000.0, 40.0),  # of ...02, at ...60
]
E
"$folder/venv/bin/python" "$folder/pack.py"
# Output seen:
#   ('urn:dev:mac:00005efffe000001/temperature', 1700000000.0, 21.5)
#   ('urn:dev:mac:00005efffe000001/temperature', 1700000000.0, 84.0)
#   ('urn:dev:mac:00005efffe000001/humidity', 1700000000.0, 40.0)

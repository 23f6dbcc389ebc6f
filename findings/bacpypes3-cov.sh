#!/bin/bash
# bacpypes3 0.0.110 (BACnet device in Python): one client that subscribes anew keeps
# another one from seeing a ramp.
#
# A COV notification is due when the present value differs from the one reported last by
# the COV increment (ASHRAE 135, 13.1). Each subscription begins with a notification of its
# own, also when a client renews it. bacpypes3 has one "value reported last" per object:
# the first notification to the newcomer moves it for everybody, although nobody else was
# notified. Clients renew by schedule, so a gateway beside a busy workstation can miss a
# change of any size.
#
# What to do: read the present value once in a while beside the subscription.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install bacpypes3==0.0.110
cat > "$folder/ramp.py" <<'E'
import asyncio

from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.analog import AnalogInputObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.pdu import Address, IPv4Address
from bacpypes3.primitivedata import ObjectIdentifier, Real

SENSOR = ObjectIdentifier("analogInput,1")


def application(number, port):
    device = DeviceObject(objectIdentifier=("device", number), objectName=f"device {number}", vendorIdentifier=999)
    return NormalApplication(device, IPv4Address(f"127.0.0.1/32:{port}"))


async def watch(client, process, seen):
    async with client.change_of_value(Address("127.0.0.1:47931"), SENSOR, process, False, 600) as subscription:
        while True:
            change = await subscription.get()
            if str(change.propertyIdentifier) == "present-value":
                seen.append(float(change.value.cast_out(Real)))


async def main():
    server = application(1, 47931)
    sensor = AnalogInputObject(
        objectIdentifier=("analogInput", 1), objectName="oven", presentValue=20.0, covIncrement=10.0,
        units="degreesCelsius", statusFlags=[0, 0, 0, 0], eventState="normal", outOfService=False)
    server.add_object(sensor)
    gateway, workstation = application(2, 47932), application(3, 47933)
    first, second, tasks = [], [], []
    tasks.append(asyncio.create_task(watch(gateway, 1, first)))
    await asyncio.sleep(1)
    for degrees in range(21, 61):
        sensor.presentValue = float(degrees)
        await asyncio.sleep(0.02)
    await asyncio.sleep(1)
    print("gateway alone, ramp from 21 to 60:", first)
    assert first == [20.0, 30.0, 40.0, 50.0, 60.0]
    first.clear()
    for degrees in range(61, 101):
        sensor.presentValue = float(degrees)
        await asyncio.sleep(0.02)
        if degrees % 5 == 0:
            tasks.append(asyncio.create_task(watch(workstation, degrees, second)))
            await asyncio.sleep(0.5)
    await asyncio.sleep(1)
    print("gateway, ramp from 61 to 100 while a workstation subscribes each 5 degrees:", first)
    assert first == []
    for task in tasks:
        task.cancel()


asyncio.run(asyncio.wait_for(main(), 120))
E
"$folder/venv/bin/python" "$folder/ramp.py"
# Output seen:
#   gateway alone, ramp from 21 to 60: [20.0, 30.0, 40.0, 50.0, 60.0]
#   gateway, ramp from 61 to 100 while a workstation subscribes each 5 degrees: []

#!/bin/bash
# asyncua 2.1.0 (OPC UA server in Python): an absolute deadband hides a slow ramp of any
# height, and hides that a value turned bad.
#
# OPC 10000-4 compares a value with the last one that was put into the queue, and reports
# each change of the status. A gateway that asks for a deadband of 10 on a temperature
# hence expects a notification for each 10 degrees of a ramp, and one when the sensor
# fails. asyncua compares with the value written before, reported or not, and requires
# that the deadband is exceeded also for a change of the status alone.
#
# What to do: ask such a server for no deadband, and reduce on the gateway. node-opcua
# 2.182.2 reports 31 of a ramp from 20 to 41, and the bad status.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install asyncua==2.1.0
cat > "$folder/ramp.py" <<'E'
import asyncio
import logging

from asyncua import Client, Server, ua

logging.disable(logging.CRITICAL)
URL = "opc.tcp://127.0.0.1:48477/plant"


async def main():
    server = Server()
    await server.init()
    server.set_endpoint(URL)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = await server.register_namespace("plant")
    oven = await server.nodes.objects.add_variable(space, "oven", 20.0)
    seen = []

    class Handler:
        def datachange_notification(self, node, value, data):
            seen.append((value, data.monitored_item.Value.StatusCode.name))

    async def write(value, status=ua.StatusCodes.Good):
        data = ua.DataValue(ua.Variant(value, ua.VariantType.Double), StatusCode=ua.StatusCode(status))
        await server.write_attribute_value(oven.nodeid, data)
        await asyncio.sleep(0.03)

    async def settled(name):
        await asyncio.sleep(1)  # many publishing intervals
        print(f"{name}: {seen}")
        result = list(seen)
        seen.clear()
        return result

    async with server, Client(URL) as client:
        subscription = await client.create_subscription(20, Handler())
        deadband = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType.Absolute, 10.0)
        await subscription._subscribe(client.get_node(oven.nodeid), mfilter=deadband, queuesize=100)
        assert await settled("subscribed") == [(20.0, "Good")]
        for degrees in range(21, 121):
            await write(float(degrees))
        assert await settled("ramp from 21 to 120 in steps of 1") == []
        await write(140.0)
        assert await settled("step from 120 to 140") == [(140.0, "Good")]
        await write(140.0, ua.StatusCodes.BadSensorFailure)
        assert await settled("sensor failure at 140") == []


asyncio.run(main())
E
"$folder/venv/bin/python" "$folder/ramp.py"
# Output seen:
#   subscribed: [(20.0, 'Good')]
#   ramp from 21 to 120 in steps of 1: []
#   step from 120 to 140: [(140.0, 'Good')]
#   sensor failure at 140: []

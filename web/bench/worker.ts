// The worker of the bench: the frames of a data channel, or of a relay's WebSocket, go through the pipeline of
// web/src/live, and every event's latency is counted.

import { nowMicros } from '../src/live/clock.ts'
import { DetectorPool } from '../src/live/detectors.ts'
import { LivePipeline, type ScoredFrame } from '../src/live/pipeline.ts'
import { Counter } from './counts.ts'
import type { FromWorker, Minute, ToWorker } from './messages.ts'

interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null
  postMessage(message: FromWorker): void
}

const scope = globalThis as unknown as WorkerScope
const minuteMicros = 60e6

const stages = { gateway: new Counter(), network: new Counter(), scoring: new Counter(), total: new Counter(), drawing: new Counter() }
const minute = new Counter()
let minuteEnd = Infinity
let minutes: Minute[] = []
let transport: RTCDataChannel | WebSocket | undefined
let first = false
let heard = 0
let gap = 0
const before = { frames: 0, events: 0, lost: 0, invalid: 0, late: 0, unscored: 0 }

const detectors = await DetectorPool.load(new URL('detector.wasm', location.href.replace(/assets\/[^/]*$/, '')))
const pipeline = new LivePipeline({
  detectors,
  send: (frame) => transport?.send(frame),
  onscored: scored,
  onliveness: (liveness) => scope.postMessage({ kind: 'liveness', liveness, micros: nowMicros() }),
})

function scored({ n, sentMicros, receivedMicros, scoredMicros, ageMicros, offset }: ScoredFrame): void {
  if (!first) {
    first = true
    scope.postMessage({ kind: 'first' })
  }
  gap = Math.max(gap, receivedMicros - heard)
  heard = receivedMicros
  if (offset === undefined) return // the clock is not known yet
  const sent = sentMicros - offset.micros
  const [network, scoring] = [receivedMicros - sent, scoredMicros - receivedMicros]
  for (let i = 0; i < n; i++) {
    const age = ageMicros[i]!
    stages.gateway.add(age)
    stages.network.add(network)
    stages.scoring.add(scoring)
    stages.total.add(age + network + scoring)
    minute.add(age + network + scoring)
  }
  if (receivedMicros >= minuteEnd) endMinute(receivedMicros)
  scope.postMessage({ kind: 'scored', micros: scoredMicros })
}

function endMinute(now: number): void {
  const { micros, error } = pipeline.offset ?? { micros: NaN, error: NaN }
  minutes.push({ events: minute.count, p50: minute.quantile(0.5), p99: minute.quantile(0.99), offset: micros, error })
  minute.reset()
  minuteEnd = now + minuteMicros
}

function start(): void {
  first = false
  pipeline.start()
}

function attach(to: RTCDataChannel | WebSocket): void {
  transport = to
  to.binaryType = 'arraybuffer'
  to.onmessage = ({ data }: MessageEvent) => {
    if (data instanceof ArrayBuffer) pipeline.receive(data)
  }
  const state = to.readyState
  if (state === 'open' || state === WebSocket.OPEN) start()
  else to.onopen = start
  to.onerror = () => scope.postMessage({ kind: 'failed', reason: 'the connection failed' })
}

scope.onmessage = ({ data: message }) => {
  switch (message.kind) {
    case 'channel':
      return attach(message.channel)
    case 'relay':
      return attach(new WebSocket(message.url))
    case 'drawn':
      for (const micros of message.micros) stages.drawing.add(micros)
      return
    case 'reset':
      for (const stage of Object.values(stages)) stage.reset()
      minute.reset()
      minutes = []
      heard = nowMicros()
      gap = 0
      minuteEnd = heard + minuteMicros
      for (const name of Object.keys(before) as (keyof typeof before)[]) before[name] = pipeline.counters[name]
      return
    case 'report': {
      const since = (name: keyof typeof before) => pipeline.counters[name] - before[name]
      const { micros, error, roundTrip } = pipeline.offset ?? { micros: NaN, error: NaN, roundTrip: NaN }
      return scope.postMessage({
        kind: 'report',
        report: {
          stages: {
            gateway: stages.gateway.counts(), network: stages.network.counts(), scoring: stages.scoring.counts(),
            total: stages.total.counts(), drawing: stages.drawing.counts(),
          },
          minutes, frames: since('frames'), events: since('events'), lost: since('lost'), invalid: since('invalid'),
          late: since('late'), unscored: since('unscored'), gap: Math.max(gap, nowMicros() - heard), offset: micros, error, roundTrip, lastError: pipeline.lastError,
        },
      })
    }
    case 'stop':
      pipeline.stop()
      transport?.close()
  }
}
scope.postMessage({ kind: 'ready' })

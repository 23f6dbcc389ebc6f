import { nowMicros } from '../src/live/clock.ts'
import { Connections, type Peer, SignalingClient } from '../src/rtc/index.ts'
import type { FromWorker, Report, ToWorker } from './messages.ts'

/** How to reach the gateway's frames. */
export type Transport =
  | { kind: 'relay'; url: string }
  | { kind: 'peer'; signaling: string; token: string; site: string; gateway: string; relayOnly: boolean; video: boolean }

/** A viewer of one gateway. */
export class View {
  /** Resolves at the first live frame. */
  readonly first: Promise<void>
  /** The changes of liveness, with the browser's clock in µs. */
  readonly liveness: { liveness: string; micros: number }[] = []
  peer: Peer | undefined
  channel: RTCDataChannel | undefined
  connections = 0
  track: Promise<MediaStreamTrack> | undefined
  #failed: (cause: Error) => void = () => {}
  readonly #worker: Worker
  #client: SignalingClient | undefined
  #connections: Connections | undefined
  #scored: number[] = []
  #drawing = 0
  #report: ((report: Report) => void) | undefined

  private constructor(worker: Worker) {
    this.#worker = worker
    this.first = new Promise((resolve, reject) => {
      this.#failed = reject
      worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data, resolve)
      worker.onerror = ({ message }) => reject(new Error(`the worker failed: ${message}`))
    })
    this.first.catch(() => {}) // for those who do not wait
  }

  /** Starts the worker and loads the detector, before anything is measured. */
  static async make(): Promise<View> {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'bench' })
    await new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve()
      worker.onerror = ({ message }) => reject(new Error(`the worker does not start: ${message}`))
    })
    return new View(worker)
  }

  async open(transport: Transport): Promise<void> {
    if (transport.kind === 'relay') {
      this.#post({ kind: 'relay', url: transport.url })
      return
    }
    const client = new SignalingClient({ url: transport.signaling, token: async () => transport.token })
    this.#client = client
    const problems: string[] = []
    client.on('error', (error) => problems.push(String(error)))
    client.connect()
    const connections = new Connections(client, transport.relayOnly ? { configuration: { iceTransportPolicy: 'relay' } } : {})
    this.#connections = connections
    const room = await client.join(transport.site)
    const gateway = room.peers.find(({ kind, name }) => kind === 'gateway' && name === transport.gateway)
    if (gateway === undefined) throw new Error(`gateway ${transport.gateway} is not in the room: ${JSON.stringify(room.peers)}`)
    const peer = connections.open(gateway.peer, (pc) => {
      const control = pc.createDataChannel('control', { negotiated: true, id: 0 })
      const live = pc.createDataChannel('live', { ordered: false, maxRetransmits: 0 })
      pc.createDataChannel('history', { negotiated: true, id: 2 })
      if (transport.video) pc.addTransceiver('video', { direction: 'recvonly' })
      this.channel = control
      this.connections++
      control.onopen = () => control.send(JSON.stringify({ type: 'subscribe', devices: null }))
      this.#post({ kind: 'channel', channel: live }, [live as unknown as Transferable])
    })
    this.peer = peer
    this.track = new Promise((resolve) => peer.on('track', ({ track }) => resolve(track)))
    peer.on('error', (error) => problems.push(String(error)))
    peer.on('state', ({ state, reason }) => {
      if (state === 'closed') this.#failed(new Error(`the peer connection is closed: ${reason ?? ''} ${problems.join('; ')}`))
    })
  }

  /** The kinds of the two candidates in use, as in host/relay; empty where there are none. */
  async path(): Promise<string> {
    const stats = await this.peer?.pc.getStats()
    if (stats === undefined) return ''
    let pair = ''
    stats.forEach((s: { type: string; selectedCandidatePairId?: string }) => {
      if (s.type === 'transport') pair = s.selectedCandidatePairId ?? ''
    })
    const chosen = stats.get(pair) as { localCandidateId: string; remoteCandidateId: string } | undefined
    if (chosen === undefined) return ''
    const kind = (id: string) => (stats.get(id) as { candidateType?: string } | undefined)?.candidateType ?? '?'
    return `${kind(chosen.localCandidateId)}/${kind(chosen.remoteCandidateId)}`
  }

  reset(): void {
    this.#post({ kind: 'reset' })
  }

  report(): Promise<Report> {
    return new Promise((resolve) => {
      this.#report = resolve
      this.#post({ kind: 'report' })
    })
  }

  close(): void {
    this.#post({ kind: 'stop' })
    this.#connections?.close()
    this.#client?.close()
    cancelAnimationFrame(this.#drawing)
    setTimeout(() => this.#worker.terminate(), 100)
  }

  #post(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer)
  }

  #receive(message: FromWorker, first: () => void): void {
    switch (message.kind) {
      case 'first':
        return first()
      case 'scored':
        this.#scored.push(message.micros)
        if (this.#drawing === 0) this.#drawing = requestAnimationFrame(() => this.#draw())
        return
      case 'liveness':
        this.liveness.push({ liveness: message.liveness, micros: message.micros })
        return
      case 'report':
        return this.#report?.(message.report)
      case 'failed':
        return this.#failed(new Error(message.reason))
      case 'ready':
    }
  }

  /** Draws what was scored since the last frame of the screen. */
  #draw(): void {
    this.#drawing = 0
    const canvas = document.querySelector('canvas')!
    const context = canvas.getContext('2d')!
    context.fillStyle = `hsl(${this.#scored.length * 40} 80% 50%)`
    context.fillRect(0, 0, canvas.width, canvas.height)
    const now = nowMicros()
    this.#post({ kind: 'drawn', micros: this.#scored.map((scored) => now - scored) })
    this.#scored = []
  }
}

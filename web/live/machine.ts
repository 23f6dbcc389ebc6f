import { Chart, short } from './chart.ts'
import { element, row, setText } from './dom.ts'
import type { LiveFeed, LiveViewer, Look } from '../src/live/index.ts'

interface Row {
  index: number
  metric: string
  tr: HTMLTableRowElement
  button: HTMLButtonElement
  value: Text
  meter: HTMLMeterElement
  anomalies: Text
}

/** How long a row stays marked after an anomaly, in ms. */
const markMillis = 3_000

/** The values and the chart of one machine, drawn once a frame of the browser from what the worker has. */
export class MachineView {
  readonly #feed: LiveFeed
  readonly #viewer: LiveViewer
  readonly #onseries: () => void
  readonly #body = element('values', 'tbody')
  readonly #chart = new Chart(element('chart', 'canvas'))
  readonly #names: { device: string; metric: string }[] = []
  #machine: string | undefined
  #rows = new Map<number, Row>()
  #chosen: number | undefined
  #marked = new Map<number, number>()
  #closed = false
  #threshold = 1

  /** onseries is called when a new machine was seen. */
  constructor(feed: LiveFeed, viewer: LiveViewer, onseries: () => void) {
    this.#feed = feed
    this.#viewer = viewer
    this.#onseries = onseries
    void feed.ready().then(({ threshold }) => (this.#threshold = threshold), () => {})
    this.#body.replaceChildren()
    this.#next()
  }

  /** The machines of which values have come. */
  get machines(): string[] {
    return [...new Set(this.#names.map(({ device }) => device))]
  }

  get machine(): string | undefined {
    return this.#machine
  }

  show(machine: string): void {
    if (this.#machine === machine) return
    this.#machine = machine
    this.#viewer.subscribe([machine])
    this.#rows.clear()
    this.#body.replaceChildren()
    this.#chosen = undefined
    this.#chart.clear()
    for (const [index, name] of this.#names.entries()) if (name.device === machine) this.#addRow(index, name.metric)
  }

  close(): void {
    this.#closed = true
  }

  #next(): void {
    requestAnimationFrame(() => {
      if (this.#closed) return
      this.#feed.look().then(
        (look) => {
          if (this.#closed) return
          this.#apply(look)
          this.#feed.drawn(look)
          this.#next()
        },
        () => {}, // the worker has ended; the page says so
      )
    })
  }

  #apply(look: Look): void {
    for (const name of look.created) {
      this.#names.push(name)
      if (name.device === this.#machine) this.#addRow(this.#names.length - 1, name.metric)
    }
    if (look.created.length > 0) this.#onseries()
    const now = performance.now()
    for (let i = 0; i < look.index.length; i++) {
      const line = this.#rows.get(look.index[i]!)
      if (line === undefined) continue
      const anomalous = look.peak[i]! >= this.#threshold
      setText(line.value, look.quality[i] === 2 ? `${short(look.value[i]!)} (bad)` : short(look.value[i]!))
      line.meter.value = Number.isNaN(look.score[i]!) ? 0 : look.peak[i]!
      setText(line.anomalies, String(look.anomalies[i]!))
      if (anomalous) {
        this.#marked.set(line.index, now + markMillis)
        line.tr.classList.add('anomalous')
      }
      if (line.index !== this.#chosen) continue
      // The anomaly can be an event before the newest.
      if (anomalous) this.#chart.add({ time: look.peakTime[i]!, value: look.peakValue[i]!, anomalous })
      this.#chart.add({ time: look.time[i]!, value: look.value[i]!, anomalous: false })
    }
    for (const [index, until] of this.#marked) {
      if (now < until) continue
      this.#marked.delete(index)
      this.#rows.get(index)?.tr.classList.remove('anomalous')
    }
    if (look.index.length > 0) this.#chart.draw()
  }

  #addRow(index: number, metric: string): void {
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = metric
    button.setAttribute('aria-pressed', 'false')
    button.onclick = () => this.#choose(index)
    const meter = document.createElement('meter')
    meter.min = 0
    meter.max = 1
    meter.high = this.#threshold
    meter.setAttribute('aria-label', `Anomaly score of ${metric}`)
    const value = document.createTextNode('–')
    const anomalies = document.createTextNode('0')
    const tr = row([button, value, meter, anomalies], [1, 3])
    this.#body.append(tr)
    this.#rows.set(index, { index, metric, tr, button, value, meter, anomalies })
    if (this.#chosen === undefined) this.#choose(index)
  }

  #choose(index: number): void {
    this.#chosen = index
    for (const line of this.#rows.values()) line.button.setAttribute('aria-pressed', String(line.index === index))
    const { device, metric } = this.#names[index]!
    setText(element('chart-metric', 'span'), metric)
    this.#chart.clear()
    const note = element('chart-note', 'p')
    setText(note, 'Asking the gateway for the last minute…')
    this.#viewer.history(60, [device]).then(
      (series) => {
        if (this.#chosen !== index) return
        const past = series.find((s) => s.device === device && s.metric === metric)
        this.#chart.prepend((past?.times ?? []).map((time, i) => ({ time, value: past!.values[i]!, anomalous: false })))
        setText(note, `${past?.times.length ?? 0} readings of the last minute came from the gateway, and the newest ones as they are read. Dots are anomalies.`)
      },
      (cause: unknown) => {
        if (this.#chosen === index) setText(note, `No past readings: ${cause instanceof Error ? cause.message : String(cause)}. The newest ones are shown as they are read.`)
      },
    )
  }
}

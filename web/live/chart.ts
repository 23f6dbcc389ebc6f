/** One point of a chart: µs since 1970, value, whether it is anomalous. */
export interface Point {
  time: number
  value: number
  anomalous: boolean
}

const spanMicros = 60e6
const maxPoints = 20_000

/** The last minute of one series, on a canvas. */
export class Chart {
  readonly #canvas: HTMLCanvasElement
  readonly #context: CanvasRenderingContext2D
  #points: Point[] = []

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas
    this.#context = canvas.getContext('2d')!
  }

  get points(): readonly Point[] {
    return this.#points
  }

  clear(): void {
    this.#points = []
  }

  add(point: Point): void {
    if (!Number.isFinite(point.value) || !Number.isFinite(point.time)) return
    const last = this.#points.at(-1)
    if (last !== undefined && point.time <= last.time) return
    this.#points.push(point)
    if (this.#points.length > maxPoints) this.#points = this.#points.slice(maxPoints / 2)
  }

  /** Puts past points before those that came live. */
  prepend(past: Point[]): void {
    const first = this.#points[0]?.time ?? Infinity
    this.#points = [...past.filter(({ time, value }) => time < first && Number.isFinite(value)), ...this.#points]
  }

  draw(): void {
    const canvas = this.#canvas
    const scale = window.devicePixelRatio
    const width = Math.round(canvas.clientWidth * scale)
    const height = Math.round(canvas.clientHeight * scale)
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width
      canvas.height = height
    }
    const c = this.#context
    c.clearRect(0, 0, width, height)
    const newest = this.#points.at(-1)
    if (newest === undefined || width === 0) return
    const since = newest.time - spanMicros
    const old = this.#points.findIndex(({ time }) => time >= since)
    if (old > maxPoints / 4) this.#points = this.#points.slice(old)
    const shown = this.#points.filter(({ time }) => time >= since)
    let least = Infinity
    let most = -Infinity
    for (const { value } of shown) {
      least = Math.min(least, value)
      most = Math.max(most, value)
    }
    if (least === most) {
      least -= 1
      most += 1
    }
    const style = getComputedStyle(canvas)
    const left = 56 * scale
    const foot = 18 * scale
    const x = (time: number) => left + ((time - since) / spanMicros) * (width - left - 4 * scale)
    const y = (value: number) => (height - foot) - ((value - least) / (most - least)) * (height - foot - 12 * scale) - 4 * scale

    c.font = `${11 * scale}px system-ui, sans-serif`
    c.fillStyle = style.color
    c.strokeStyle = resolve(canvas, '--line')
    c.lineWidth = scale
    c.textAlign = 'right'
    c.textBaseline = 'middle'
    for (const value of [least, (least + most) / 2, most]) {
      c.beginPath()
      c.moveTo(left, y(value))
      c.lineTo(width, y(value))
      c.stroke()
      c.fillText(short(value), left - 6 * scale, y(value))
    }
    c.textAlign = 'center'
    for (const seconds of [60, 40, 20, 0]) {
      c.textAlign = seconds === 60 ? 'left' : seconds === 0 ? 'right' : 'center'
      c.fillText(seconds === 0 ? 'now' : `−${seconds} s`, x(newest.time - seconds * 1e6), height - 7 * scale)
    }
    c.strokeStyle = resolve(canvas, '--accent')
    c.lineWidth = 1.5 * scale
    c.beginPath()
    for (const [i, point] of shown.entries()) {
      if (i === 0) c.moveTo(x(point.time), y(point.value))
      else c.lineTo(x(point.time), y(point.value))
    }
    c.stroke()
    c.fillStyle = resolve(canvas, '--bad')
    for (const point of shown) {
      if (!point.anomalous) continue
      c.beginPath()
      c.arc(x(point.time), y(point.value), 4 * scale, 0, 2 * Math.PI)
      c.fill()
    }
  }
}

const probes = new Map<string, HTMLElement>()

/** A color of the theme that the page has now; light-dark() is resolved by an element's color only. */
function resolve(canvas: HTMLElement, name: string): string {
  let probe = probes.get(name)
  if (probe === undefined) {
    probe = document.createElement('span')
    probe.hidden = true
    probe.style.color = `var(${name})`
    canvas.after(probe)
    probes.set(name, probe)
  }
  return getComputedStyle(probe).color
}

export function short(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2)
  return value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3)
}

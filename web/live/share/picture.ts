import { placed, pointAt, type Call, type Point, type Shown } from '../../src/share/index.ts'

/** Of the picture, for each press of an arrow key. */
const step = 0.02

/** A camera's picture or a screen, with the lines that both people draw on it. */
export class Picture {
  readonly element = document.createElement('figure')
  readonly video = document.createElement('video')
  readonly #canvas = document.createElement('canvas')
  readonly #note = document.createElement('span')
  readonly #call: Call
  readonly #shown: Shown
  readonly #size = new ResizeObserver(() => this.paint())
  #add: ((points: Point[]) => boolean) | undefined
  #waiting: Point[] = []
  #frame = 0
  /** For the keyboard. */
  #cursor: Point = [0.5, 0.5]

  /** color is the one that is drawn with. */
  constructor(call: Call, shown: Shown, color: () => string) {
    this.#call = call
    this.#shown = shown
    const whose = shown.whose === 'mine' ? 'Your' : 'Their'
    const { video, element } = this
    video.muted = video.autoplay = video.playsInline = true
    video.setAttribute('aria-label', `${whose} ${shown.kind}`)
    this.#canvas.tabIndex = 0
    this.#canvas.setAttribute('role', 'application')
    this.#canvas.setAttribute('aria-label', `Draw on ${whose.toLowerCase()} ${shown.kind}: move with the arrow keys, hold Shift to draw`)
    const frame = document.createElement('div')
    frame.className = 'frame'
    frame.append(video, this.#canvas)
    const caption = document.createElement('figcaption')
    const clear = document.createElement('button')
    clear.type = 'button'
    clear.textContent = 'Clear lines'
    clear.onclick = () => call.clear(shown)
    this.#note.className = 'note'
    caption.append(`${whose} ${shown.kind}`, clear, this.#note)
    element.append(frame, caption)
    element.dataset['picture'] = `${shown.whose} ${shown.kind}`
    video.onresize = video.onloadedmetadata = () => this.paint()
    this.#size.observe(frame)
    this.#draw(color)
  }

  show(track: MediaStreamTrack | undefined, muted: boolean): void {
    this.element.hidden = track === undefined
    this.#note.textContent = muted ? 'hidden at the moment' : ''
    const shown = (this.video.srcObject as MediaStream | null)?.getVideoTracks()[0]
    if (shown === track) return
    this.video.srcObject = track === undefined ? null : new MediaStream([track])
    this.paint()
  }

  paint(): void {
    const canvas = this.#canvas
    const scale = devicePixelRatio
    canvas.width = canvas.clientWidth * scale
    canvas.height = canvas.clientHeight * scale
    const context = canvas.getContext('2d')!
    const rectangle = placed(this.#natural(), canvas)
    this.#call.board(this.#shown).paint(context, rectangle)
    if (document.activeElement !== canvas) return
    context.strokeStyle = '#888888'
    context.strokeRect(rectangle.left + this.#cursor[0] * rectangle.width - 5, rectangle.top + this.#cursor[1] * rectangle.height - 5, 10, 10)
  }

  close(): void {
    cancelAnimationFrame(this.#frame)
    this.#size.disconnect()
    this.video.srcObject = null
    this.element.remove()
  }

  #natural(): { width: number; height: number } {
    return { width: this.video.videoWidth, height: this.video.videoHeight }
  }

  #draw(color: () => string): void {
    const canvas = this.#canvas
    const at = (event: PointerEvent) => {
      const rectangle = placed(this.#natural(), { width: canvas.clientWidth, height: canvas.clientHeight })
      return pointAt(event.offsetX, event.offsetY, rectangle)
    }
    canvas.onpointerdown = (event) => {
      const point = at(event)
      if (event.button !== 0 || point === undefined) return
      canvas.setPointerCapture(event.pointerId)
      this.#add = this.#call.stroke(this.#shown, color())
      this.#add([point])
    }
    canvas.onpointermove = (event) => {
      if (this.#add === undefined) return
      for (const part of event.getCoalescedEvents()) {
        const point = at(part)
        if (point !== undefined) this.#waiting.push(point)
      }
      // One message for each picture of the screen.
      this.#frame ||= requestAnimationFrame(() => this.#flush())
    }
    canvas.onpointerup = canvas.onpointercancel = () => {
      this.#flush()
      this.#add = undefined
    }
    canvas.onkeydown = (event) => {
      const move = ({ ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] } as Record<string, [number, number]>)[event.key]
      if (move === undefined) return
      event.preventDefault()
      const before = this.#cursor
      const clamp = (v: number) => Math.min(1, Math.max(0, v))
      this.#cursor = [clamp(before[0] + move[0]), clamp(before[1] + move[1])]
      if (!event.shiftKey) this.#add = undefined
      else if (this.#add === undefined) {
        this.#add = this.#call.stroke(this.#shown, color())
        this.#add([before, this.#cursor])
      } else this.#add([this.#cursor])
      this.paint()
    }
    canvas.onkeyup = (event) => {
      if (event.key === 'Shift') this.#add = undefined
    }
    canvas.onfocus = canvas.onblur = () => this.paint()
  }

  #flush(): void {
    cancelAnimationFrame(this.#frame)
    this.#frame = 0
    if (this.#waiting.length > 0) this.#add?.(this.#waiting)
    this.#waiting = []
  }
}

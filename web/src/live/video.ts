import { nowMicros } from './clock.ts'
import { Histogram, type Percentiles } from './histogram.ts'
import { readTimeCode, timeCode } from './timecode.ts'

export interface VideoStats {
  /** From a picture's making in the gateway to its presentation in the page, in µs. */
  latency: Percentiles
  /** Pictures that were presented, and those of them with a readable time code. */
  frames: number
  coded: number
}

/** Measures the latency of a video with a time code, picture by picture as they are presented. */
export class VideoMeter {
  readonly #video: HTMLVideoElement
  readonly #offset: () => number | undefined
  readonly #context: CanvasRenderingContext2D
  readonly #latency = new Histogram()
  #frames = 0
  #coded = 0
  #callback = 0

  /** offset returns the gateway's clock minus ours in µs, if it is known. */
  constructor(video: HTMLVideoElement, offset: () => number | undefined) {
    this.#video = video
    this.#offset = offset
    const canvas = document.createElement('canvas')
    canvas.width = timeCode.columns * timeCode.cell
    canvas.height = timeCode.rows * timeCode.cell
    this.#context = canvas.getContext('2d', { willReadFrequently: true, alpha: false })!
    this.#request()
  }

  stats(): VideoStats {
    return { latency: this.#latency.percentiles(), frames: this.#frames, coded: this.#coded }
  }

  reset(): void {
    this.#latency.reset()
    this.#frames = this.#coded = 0
  }

  close(): void {
    this.#video.cancelVideoFrameCallback(this.#callback)
  }

  #request(): void {
    this.#callback = this.#video.requestVideoFrameCallback(() => {
      this.#presented(nowMicros())
      this.#request()
    })
  }

  #presented(now: number): void {
    this.#frames++
    const offset = this.#offset()
    const { canvas } = this.#context
    const { width, height } = canvas
    // Whatever the size of the picture, its code is that part of it: the pattern is 640 wide, or has been scaled from it.
    const part = this.#video.videoWidth / 640
    this.#context.drawImage(this.#video, 0, 0, width * part, height * part, 0, 0, width, height)
    const { data } = this.#context.getImageData(0, 0, width, height)
    const code = readTimeCode(data, 4 * width, 4, 1) // green
    if (code === undefined || offset === undefined) return
    this.#coded++
    this.#latency.record(now - (code.captured - offset))
  }
}

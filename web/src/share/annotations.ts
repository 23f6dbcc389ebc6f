import type { Point } from './messages.ts'

export interface Stroke {
  /** Unique with its author. */
  id: number
  author: 'me' | 'them'
  color: string
  points: Point[]
}

/** When there are more, the oldest strokes go. */
export const boardLimits = { strokes: 500, points: 20_000 } as const

/** The lines that two people have drawn on one picture. */
export class Board {
  readonly #strokes: Stroke[] = []
  #points = 0

  get strokes(): readonly Stroke[] {
    return this.#strokes
  }

  /** Adds points to a stroke, which begins with its first. */
  draw(author: Stroke['author'], id: number, color: string, points: readonly Point[]): void {
    let stroke = this.#strokes.find((s) => s.id === id && s.author === author)
    if (stroke === undefined) {
      stroke = { id, author, color, points: [] }
      this.#strokes.push(stroke)
    }
    stroke.points.push(...points)
    this.#points += points.length
    while (this.#strokes.length > boardLimits.strokes || this.#points > boardLimits.points) this.#points -= this.#strokes.shift()!.points.length
  }

  clear(): void {
    this.#strokes.length = 0
    this.#points = 0
  }

  /** Paints all strokes into the rectangle that the picture has on the canvas. */
  paint(context: CanvasRenderingContext2D, rectangle: Rectangle): void {
    context.lineWidth = Math.max(2, rectangle.width / 250)
    context.lineCap = context.lineJoin = 'round'
    for (const { color, points } of this.#strokes) {
      context.strokeStyle = color
      context.beginPath()
      for (const [x, y] of points.length === 1 ? [points[0]!, points[0]!] : points) {
        context.lineTo(rectangle.left + x * rectangle.width, rectangle.top + y * rectangle.height)
      }
      context.stroke()
    }
  }
}

export interface Rectangle {
  left: number
  top: number
  width: number
  height: number
}

/** Where a picture lies in a box that shows all of it (object-fit: contain). */
export function placed(picture: { width: number; height: number }, box: { width: number; height: number }): Rectangle {
  if (picture.width <= 0 || picture.height <= 0) return { left: 0, top: 0, ...box }
  const scale = Math.min(box.width / picture.width, box.height / picture.height)
  const [width, height] = [picture.width * scale, picture.height * scale]
  return { left: (box.width - width) / 2, top: (box.height - height) / 2, width, height }
}

/** A place of the box as a point of the picture; undefined beside it. */
export function pointAt(x: number, y: number, rectangle: Rectangle): Point | undefined {
  const point: Point = [(x - rectangle.left) / rectangle.width, (y - rectangle.top) / rectangle.height]
  return point.every((v) => v >= 0 && v <= 1) ? point : undefined
}

/** Where the bytes of a received file go. Calls come one after the other. */
export interface Sink {
  write(data: Uint8Array): Promise<void>
  /** The whole file. */
  finish(mime: string): Promise<Blob>
  /** Deletes what was written, also after finish(). */
  discard(): Promise<void>
}

/** Files up to this size are assembled without the disk. */
const memoryLimit = 2 << 20

const folder = 'insighthub-share'

/** For a file of that size: on the disk (origin private file system) where the browser has one and the file is large. */
export async function openSink(size: number): Promise<Sink> {
  if (size <= memoryLimit || !('storage' in navigator) || typeof navigator.storage.getDirectory !== 'function') return new BlobSink()
  const directory = await (await navigator.storage.getDirectory()).getDirectoryHandle(folder, { create: true })
  const name = crypto.randomUUID()
  const handle = await directory.getFileHandle(name, { create: true })
  return new DiskSink(directory, name, handle, await handle.createWritable())
}

/** Deletes what earlier pages have left on the disk. */
export async function cleanSinks(): Promise<void> {
  try {
    await (await navigator.storage.getDirectory()).removeEntry(folder, { recursive: true })
  } catch {
    // There is nothing, or another page is writing.
  }
}

const pieceBytes = 1 << 20

/** Gives the bytes to the browser in pieces, which it holds outside the page's memory, large ones on the disk. */
export class BlobSink implements Sink {
  #parts: Blob[] = []
  #piece = new Uint8Array(pieceBytes)
  #used = 0

  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length;) {
      const n = Math.min(data.length - at, pieceBytes - this.#used)
      this.#piece.set(data.subarray(at, at + n), this.#used)
      this.#used += n
      at += n
      if (this.#used === pieceBytes) this.#flush()
    }
  }

  async finish(mime: string): Promise<Blob> {
    this.#flush()
    return new Blob(this.#parts, { type: mime })
  }

  async discard(): Promise<void> {
    this.#parts = []
    this.#used = 0
  }

  #flush(): void {
    if (this.#used > 0) this.#parts.push(new Blob([this.#piece.subarray(0, this.#used)]))
    this.#used = 0
  }
}

class DiskSink implements Sink {
  readonly #directory: FileSystemDirectoryHandle
  readonly #name: string
  readonly #handle: FileSystemFileHandle
  readonly #writable: FileSystemWritableFileStream
  #open = true

  constructor(directory: FileSystemDirectoryHandle, name: string, handle: FileSystemFileHandle, writable: FileSystemWritableFileStream) {
    this.#directory = directory
    this.#name = name
    this.#handle = handle
    this.#writable = writable
  }

  async write(data: Uint8Array): Promise<void> {
    await this.#writable.write(data as Uint8Array<ArrayBuffer>)
  }

  async finish(mime: string): Promise<Blob> {
    this.#open = false
    await this.#writable.close()
    const file = await this.#handle.getFile()
    return file.slice(0, file.size, mime)
  }

  async discard(): Promise<void> {
    if (this.#open) await this.#writable.abort()
    this.#open = false
    await this.#directory.removeEntry(this.#name)
  }
}

/** An RTCPeerConnection without a network: the test sets its states. */
export class FakeConnection {
  signalingState: RTCSignalingState = 'stable'
  connectionState: RTCPeerConnectionState = 'new'
  localDescription: { type: string; sdp: string } | null = null
  currentRemoteDescription: { type: string; sdp: string } | null = null
  onnegotiationneeded: (() => void) | null = null
  onicecandidate: ((event: { candidate: RTCIceCandidate | null }) => void) | null = null
  onconnectionstatechange: (() => void) | null = null
  ontrack: unknown = null
  ondatachannel: unknown = null
  restarts = 0
  configuration: RTCConfiguration
  readonly channels: FakeDataChannel[] = []
  #version = 0

  constructor(configuration: RTCConfiguration = {}) {
    this.configuration = configuration
  }

  getConfiguration(): RTCConfiguration {
    return this.configuration
  }

  setConfiguration(configuration: RTCConfiguration): void {
    this.configuration = configuration
  }

  async setLocalDescription(): Promise<void> {
    const answering = this.signalingState === 'have-remote-offer'
    const sdp = `v=0\r\no=- 1 ${++this.#version} IN IP4 127.0.0.1\r\na=ice-ufrag:u${this.restarts}\r\n`
    this.localDescription = { type: answering ? 'answer' : 'offer', sdp }
    this.signalingState = answering ? 'stable' : 'have-local-offer'
  }

  async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    if (!description.sdp.startsWith('v=0')) throw new Error('not a description')
    this.currentRemoteDescription = description
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable'
  }

  async addIceCandidate(): Promise<void> {}

  restartIce(): void {
    this.restarts++
    this.onnegotiationneeded?.()
  }

  createDataChannel(label: string): FakeDataChannel {
    const channel = new FakeDataChannel(label)
    this.channels.push(channel)
    return channel
  }

  getTransceivers(): never[] {
    return []
  }

  addEventListener(): void {}

  close(): void {
    this.signalingState = 'closed'
    this.connectionState = 'closed'
  }

  /** As the browser reports it. */
  becomes(state: RTCPeerConnectionState): void {
    this.connectionState = state
    this.onconnectionstatechange?.()
  }
}

export class FakeDataChannel {
  readonly label: string
  readyState: RTCDataChannelState = 'connecting'
  bufferedAmount = 0
  bufferedAmountLowThreshold = 0
  binaryType = 'blob'
  onopen: (() => void) | null = null
  onclose: (() => void) | null = null
  onmessage: ((event: { data: unknown }) => void) | null = null
  onbufferedamountlow: (() => void) | null = null
  readonly sent: unknown[] = []

  constructor(label: string) {
    this.label = label
  }

  send(data: unknown): void {
    this.sent.push(data)
  }

  opens(): void {
    this.readyState = 'open'
    this.onopen?.()
  }
}
